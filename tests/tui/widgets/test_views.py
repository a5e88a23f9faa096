from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tests.batches import make_batch
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import (
    LAYERS,
    LINKS,
    ScriptedSource,
    make_info,
    make_record,
    make_stats,
    records,
    script,
    time_stats,
)
from textual.pilot import Pilot

from vgrad.controls.controls import Controls, Set
from vgrad.events.notices import CommandApplied, RunStarted
from vgrad.events.step_record import LOOP_CLIP, ChainLink, StepRecord
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.precision import Float16, Float32
from vgrad_tui.app.app import VgradApp
from vgrad_tui.draw.charts import draw_through_time
from vgrad_tui.draw.runs import width_of
from vgrad_tui.screens.layer import LayerScreen
from vgrad_tui.widgets.histogram import ridge_of
from vgrad_tui.widgets.tabs import Tabs
from vgrad_tui.widgets.transform_chain import bar, links_of

DIGITS = {"layers": "1", "heat": "2", "histogram": "3", "time": "4", "chain": "5"}
NUM_MANY = 90
MANY = tuple(f"blocks.{index}.weight" for index in range(NUM_MANY))
BLOCKS = " ▁▂▃▄▅▆▇█"


def chained(step: int, num_layers: int = len(LAYERS)) -> StepRecord:
    return make_record(
        step,
        num_layers,
        grad_norm=43.1,
        applied_norm=1.02,
        links=LINKS,
        link_norms=np.array([43.1, 1.0, 1.02], dtype=np.float32),
    )


async def shown(pilot: Pilot[None], source: ScriptedSource, view: str) -> None:
    """Switch to a view and let it be drawn."""
    await pilot.press(DIGITS[view])
    await pilot.pause()
    await pull(pilot, source)


# -- the pure computations ---------------------------------------------------------------------

shares = hnp.arrays(np.float32, 16, elements=st.floats(0, 1, width=32))


@given(shares, st.integers(1, 6))
def test_a_ridge_hides_nothing_and_its_tallest_is_full(counts: NDArray[np.float32], cells: int) -> None:
    ridge = ridge_of(counts, cells)
    assert len(ridge) == 16 * cells
    if not counts.any():
        assert set(ridge) == {"·"}
        return
    heights = np.array([BLOCKS.index(ridge[index * cells]) for index in range(16)])
    assert heights.max() == 8
    assert ((heights > 0) == (counts > 0)).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(heights[order]) >= 0).all()


def test_a_ridge_of_what_was_not_counted_says_so() -> None:
    assert ridge_of(np.full(16, np.nan, dtype=np.float32), 2) == "×" * 32


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
def test_a_bar_grows_with_its_share_and_a_positive_one_is_seen(one: float, other: float, width: int) -> None:
    low, high = sorted((one, other))
    assert len(bar(low, width)) <= len(bar(high, width)) <= width
    assert bool(bar(low, width)) == (low > 0)
    assert bar(1.0, width) == "█" * width


def test_the_norm_after_a_link_is_the_one_before_the_next() -> None:
    links = links_of(chained(7), Controls())
    assert [link.label for link in links] == ["skip non-finite", "clip norm 1", "noise 0.01"]
    assert links[0].before == 43.1
    assert [link.before for link in links[1:]] == [link.after for link in links[:-1]]
    assert links[1].factor == pytest.approx(1 / 43.1)


def test_a_chain_that_was_not_measured_link_by_link_is_one_link() -> None:
    controls = Controls(clip=ClipGradNorm(1.0))
    (link,) = links_of(make_record(1, grad_norm=4.0, applied_norm=1.0), controls)
    assert (link.label, link.before, link.after, link.factor) == ("clip norm 1", 4.0, 1.0, 0.25)
    assert links_of(make_record(1), Controls()) == []
    nan = make_record(1, grad_norm=math.nan, applied_norm=math.nan)
    assert links_of(nan, Controls()) == []
    zero = make_record(1, grad_norm=0.0, applied_norm=0.0)
    assert math.isnan(links_of(zero, controls)[0].factor)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 40)),
        elements=st.sampled_from([0.0, 1e-30, 1e-4, 1.0, 3e8, np.inf, np.nan]),
    ),
    st.integers(1, 90),
    st.integers(1, 20),
)
def test_a_curve_through_time_fits_and_hides_no_bad_step(
    norms: NDArray[np.float32], width: int, height: int
) -> None:
    rows = draw_through_time(norms, width, height)
    assert len(rows) == height
    assert all(width_of(row) == width for row in rows)
    if not np.isfinite(norms).all() and len(norms) == 1:
        assert "×" in "".join(text for text, _ in rows[0])


# -- switching ---------------------------------------------------------------------------------


async def test_digits_and_tabs_switch_and_every_view_says_its_name() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(140, 40)) as pilot:
        await play(pilot, source)
        for name in ("heat", "histogram", "time", "chain", "layers"):
            await shown(pilot, source, name)
            assert name == app.main.view.NAME
            assert app.main.view.has_focus
            assert [view.NAME for view in app.main.views.values() if view.display] == [name]
        assert line_with(app, "1 layers  2 heat  3 hist  4 time  5 chain")
        for end, name in list(app.query_one(Tabs)._targets):
            await pilot.click(Tabs, offset=(end - 1, 0))
            await pilot.pause()
            assert name == app.main.view.NAME


async def test_the_chosen_layer_stays_chosen() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        await pilot.press("down", "down")
        for name in ("heat", "histogram", "time", "layers"):
            await shown(pilot, source, name)
        await pilot.press("enter")
        await pilot.pause()
        assert "rnn.weight_hh_l0" in line_with(app, "layer 3 of 6")


async def test_digits_typed_into_the_filter_are_text() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source, script(60, MANY))
        await pilot.press("slash", "8", "9")
        await pilot.pause()
        assert app.main.view.NAME == "layers"
        assert line_with(app, "1 of 90 layers")


async def test_what_is_hidden_is_not_computed() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        hidden = [view for view in app.main.views.values() if not view.display]
        assert len(hidden) == 4
        assert not any(view._rows for view in hidden)
        await shown(pilot, source, "heat")
        rows = app.main.views["layers"]._rows
        await pull(pilot, source, make_batch(records(301, 350)))
        assert app.main.views["layers"]._rows is rows


@pytest.mark.parametrize("view", DIGITS)
async def test_nothing_is_written_when_nothing_changed(view: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(
            pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(records(1, 50))]
        )
        await pull(pilot, source, make_batch(stats=make_stats(50), time_stats=time_stats(40)))
        await shown(pilot, source, view)
        for _ in range(6):
            await pull(pilot, source)
        app.screen._compositor._dirty_regions.clear()
        for _ in range(8):
            await pull(pilot, source)
            assert not app.screen._compositor._dirty_regions


@pytest.mark.parametrize("layers", [MANY, ("only",)], ids=["many", "one"])
@pytest.mark.parametrize("view", DIGITS)
async def test_every_view_stands_any_size(view: str, layers: tuple[str, ...]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, source, view)
        await play(pilot, source, script(60, layers))
        await pull(pilot, source, make_batch((chained(61, len(layers)),), time_stats=time_stats(60)))
        for size in ((1, 1), (2, 40), (300, 90), (50, 15)):
            await pilot.resize_terminal(*size)
            await pull(pilot, source)
            await pilot.press("end", "y")
        assert line_with(app, DIGITS[view] + " " + (app.main.view.TAB or view))


# -- what each shows ---------------------------------------------------------------------------


async def test_a_spike_of_one_layer_at_one_step_is_on_the_map() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, source, "heat")
        calm = [make_record(step, NUM_MANY) for step in range(1, 501)]
        for record in calm:
            record.grad_norms[:] = 1e-3
        calm[222].grad_norms[77] = np.nan
        calm[300].grad_norms[11] = np.inf
        batch = make_batch(tuple(calm), notices=(RunStarted(make_info(MANY)),))
        await play(pilot, source, [batch])
        lines = screen_lines(app)
        assert sum(line.count("×") for line in lines if "blocks." in line) == 1
        assert sum(line.count("∞") for line in lines if "blocks." in line) == 1
        assert line_with(app, "+")


async def test_bins_unfold_and_fold() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source, script(60, MANY))
        await shown(pilot, source, "heat")
        heat = app.main.view
        assert heat.num_rows < NUM_MANY and "max of 9 layers" in line_with(app, "2 heat")
        assert "+" in line_with(app, "blocks.0.weight")
        await pilot.press("end", "enter")
        await pilot.pause()
        assert heat.num_rows == NUM_MANY
        last_bin = heat.layer_at(heat.cursor)
        await pilot.press("end")
        await pilot.pause()
        assert "+" not in line_with(app, "blocks.89.weight")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, LayerScreen)
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert heat.num_rows < NUM_MANY
        assert heat.layer_at(heat.cursor) == last_bin


async def test_the_map_follows_the_zoom_of_the_chart_and_the_filter() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        await shown(pilot, source, "heat")
        assert line_with(app, "╵50 ")
        await pilot.press("z")
        await pilot.pause()
        assert not any("╵50 " in line for line in screen_lines(app))
        assert line_with(app, "╵200")
        app.main.order.filter = "bias"
        app.main.order.renew()
        await pull(pilot, source)
        assert app.main.view.num_rows == 2


async def test_a_histogram_tells_zeros_the_largest_and_its_age() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        stats = make_stats(300)
        stats.zero_share[2] = 0.38
        stats.grad_max[2] = np.inf
        stats.measured_step[3] = -1
        await pull(pilot, source, make_batch(stats=stats))
        await shown(pilot, source, "histogram")
        row = line_with(app, "rnn.weight_hh_l0").split()
        assert row[-4:] == ["38", "%", "inf", "2"]
        assert "not measured yet" in line_with(app, "rnn.bias_ih_l0")
        assert line_with(app, "5 of 6 measured")


async def test_time_says_why_there_is_nothing_and_then_shows_it() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(160, 40)) as pilot:
        await shown(pilot, source, "time")
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),))])
        assert line_with(app, "only recurrent models do")
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(160, 40)) as pilot:
        await shown(pilot, source, "time")
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info(recurrent=True)),))])
        assert line_with(app, "not measured yet")
        await pull(pilot, source, make_batch(records(1, 50), time_stats=time_stats(40)))
        await pull(pilot, source)
        title = line_with(app, "4 time")
        for words in (
            "slope -0.200/step back",
            "first/last 1.6e-8",
            "ρ(W) 0.870",
            "10 steps ago",
            "2 rnn.l1",
        ):
            assert words in title


async def test_the_chain_shows_each_link_and_how_often_clipping_fires() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(140, 40)) as pilot:
        await play(pilot, source)
        await shown(pilot, source, "chain")
        assert line_with(app, "nothing changes the gradient: ‖g‖ 0.778 goes into the step as it is")
        clip = ClipGradNorm(1.0)
        applied = CommandApplied(301, Set("clip", clip), Controls(clip=clip))
        await pull(pilot, source, make_batch((chained(301),), notices=(applied,)))
        row = line_with(app, "→ clip norm 1").split()
        assert row[row.index("43.1") :][:4] == ["43.1", "→", "1.00", "×0.0232"]
        assert "1.02" in line_with(app, "→ step")
        assert "clips 100 % of the last 100 steps, median 43.1 → 1.00" in line_with(app, "5 chain")


async def test_what_the_loop_clips_itself_is_shown_beside_the_control_that_is_off() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    links = (ChainLink(LOOP_CLIP, "loop: clip_grad_norm_ 1"),)
    async with app.run_test(size=(140, 40)) as pilot:
        await play(pilot, source)
        norms = [4.0, 0.5] * 50
        steps = tuple(
            make_record(
                301 + number, grad_norm=norm, applied_norm=min(norm, 1.0), links=links,
                link_norms=np.array([min(norm, 1.0)], dtype=np.float32),
            )
            for number, norm in enumerate(norms)
        )  # fmt: skip
        await pull(pilot, source, make_batch(steps))
        await shown(pilot, source, "chain")
        assert "off  loop: clip_grad_norm_ 1" in line_with(app, "c   clip")
        assert "fires 50 %  2.25 → 0.750" in line_with(app, "threshold")
        assert "clips 50 % of the last 100 steps, median" in line_with(app, "5 chain")
        row = line_with(app, "→ loop: clip_grad_norm_ 1").split()
        assert row[row.index("0.500") :][:4] == ["0.500", "→", "0.500", "×1.00"]


# -- float16 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [Float32(), Float16()])
@pytest.mark.parametrize("columns", [80, 160])
async def test_what_float16_rounds_to_zero_is_told_where_it_computes(
    precision: Float32 | Float16, columns: int
) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    stats = make_stats(60)
    stats.underflow_share[:] = 0.25
    async with app.run_test(size=(columns, 36)) as pilot:
        await play(pilot, source, script(60))
        notice = CommandApplied(61, Set("precision", precision), Controls(precision=precision))
        await pull(pilot, source, make_batch(notices=(notice,), stats=stats))
        seen = []
        for view in ("layers", "histogram"):
            await shown(pilot, source, view)
            seen.append(any("underflow" in line for line in screen_lines(app)))
            seen.append("25 %" in line_with(app, "rnn.weight_hh_l0"))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, LayerScreen)
        seen.append(any("underflow" in line and "25.0 %" in line for line in screen_lines(app)))
        assert set(seen) == {isinstance(precision, Float16)}
