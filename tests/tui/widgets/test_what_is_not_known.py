"""What a run lacks is absent on the screen; of several parts one is shown, and the verdict on each."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import (
    LAYERS,
    ScriptedSource,
    ended,
    make_batch,
    make_info,
    make_record,
    make_stats,
)

from vgrad.controls.controls import Controls
from vgrad.events.batch import Batch, Snapshot
from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import Notice, RunStarted, VerdictChanged
from vgrad.events.step_block import StepBlock
from vgrad.events.verdict import Verdict
from vgrad.methods.precision import Float16
from vgrad_tui.app.app import VgradApp


async def test_a_loss_that_is_not_known_is_not_shown_as_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        steps = tuple(make_record(step, loss=None, num_samples=0, num_tokens=0) for step in range(1, 51))
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
        app.refresh_view(chart=True)
        await pilot.pause()
        assert line_with(app, "the loss of this run is not known")
        shown = "\n".join(screen_lines(app))
        assert (
            "nan" not in shown.lower() and "tokens/s" not in shown and "train" not in line_with(app, "─ loss")
        )
        await pilot.press("m")
        await pilot.pause()
        assert "loss" not in line_with(app, "training, step 50")


@pytest.mark.parametrize("num_steps", [12, 600])
async def test_the_chart_marks_losses_that_are_nan_and_not_those_that_are_not_known(num_steps: int) -> None:
    """Of a process that was attached to, the loss of the first step is not known."""
    for loss, is_marked in ((None, False), (math.nan, True)):
        source = ScriptedSource()
        app = VgradApp(source)
        async with app.run_test(size=(120, 36)) as pilot:
            odd = {1, 5}
            steps = tuple(
                make_record(step, loss=loss if step in odd else 2.0) for step in range(1, num_steps + 1)
            )
            await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
            app.refresh_view(chart=True)
            await pilot.pause()
            top = next(line for line in screen_lines(app)[3:8] if "┤" in line or "│" in line)
            assert ("×" in top) == is_marked


async def test_a_learning_rate_that_is_not_known_is_not_shown_as_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        steps = tuple(replace(make_record(step), lr=math.nan, base_lr=math.nan) for step in range(1, 11))
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
        assert "nan" not in line_with(app, "- = lr") and "×1" in line_with(app, "- = lr")


def unknown_column(step: int, *names: str) -> LayerStats:
    """Statistics of a step in which nobody could measure these columns."""
    nothing = np.full(len(LAYERS), np.nan, dtype=np.float32)
    return replace(make_stats(step), **dict.fromkeys(names, nothing))


async def test_an_update_that_is_not_known_is_a_dash_in_the_table_and_of_a_single_layer() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(140, 36)) as pilot:
        started = make_batch(notices=(RunStarted(make_info()),))
        steps = make_batch((make_record(1),), stats=unknown_column(1, "update_ratio"))
        await play(pilot, source, [started, steps])
        *_, ratio, update, _, _, mark = line_with(app, "rnn.weight_hh_l0").split()
        assert (update, mark) == ("–", "ok") and float(ratio) > 0
        await pilot.press("enter")
        await pilot.pause()
        assert line_with(app, "update ‖Δw‖/‖w‖").split()[2] == "–"
        assert "nan" not in "\n".join(screen_lines(app))


async def test_the_update_of_weights_that_are_not_numbers_is_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(140, 36)) as pilot:
        started = make_batch(notices=(RunStarted(make_info()),))
        steps = make_batch((make_record(1),), stats=unknown_column(1, "update_ratio", "weight_norm"))
        await play(pilot, source, [started, steps])
        assert line_with(app, "rnn.weight_hh_l0").split()[-5:-3] == ["nan", "nan"]


async def test_weights_that_are_all_zero_have_no_ratio() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(140, 36)) as pilot:
        zero = replace(make_stats(1), weight_norm=np.zeros(len(LAYERS), dtype=np.float32))
        started = make_batch(notices=(RunStarted(make_info()),))
        await play(pilot, source, [started, make_batch((make_record(1),), stats=zero)])
        assert line_with(app, "rnn.weight_hh_l0").split()[-5] == "–"
        await pilot.press("enter")
        await pilot.pause()
        assert line_with(app, "‖g‖/‖w‖").split()[-1] == "–"


async def test_a_layer_that_had_no_gradient_has_no_numbers_of_it() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    columns = ("grad_max", "zero_share", "underflow_share", "num_non_finite")
    async with app.run_test(size=(140, 36)) as pilot:
        started = make_batch(notices=(RunStarted(make_info(controls=Controls(precision=Float16()))),))
        steps = make_batch((make_record(1),), stats=unknown_column(1, *columns))
        await play(pilot, source, [started, steps])
        for view in "13":
            await pilot.press(view)
            await pull(pilot, source)
            assert line_with(app, "rnn.weight_hh_l0")
            assert "nan" not in "\n".join(screen_lines(app))
        assert "had no gradient" in line_with(app, "rnn.weight_hh_l0")
        await pilot.press("enter")
        await pilot.pause()
        assert line_with(app, "there was no gradient when it was measured")
        assert "nan" not in "\n".join(screen_lines(app))


async def test_what_the_depth_cannot_say_is_unknown() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(140, 36)) as pilot:
        one = ("weight",)
        await play(
            pilot,
            source,
            [make_batch(notices=(RunStarted(make_info(one)),)), make_batch((make_record(1, 1),))],
        )
        await pilot.press("2")
        await pull(pilot, source)
        assert "first/last unknown" in line_with(app, "slope unknown")


async def test_nan_is_shown_as_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        steps = (make_record(1), make_record(2, loss=float("nan")))
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
        app.refresh_view(chart=True)
        await pilot.pause()
        assert "train nan" in line_with(app, "─ loss")


@pytest.mark.parametrize("view", ["1", "2", "3"])
async def test_p_shows_the_next_part_with_its_own_layers(view: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    generator, critic = make_info(("generator.weight", "generator.bias")), make_info(("critic.weight",))
    async with app.run_test(size=(120, 36)) as pilot:
        notices = (
            Notice(0, 0.0, None, 0, RunStarted(generator), None),
            Notice(1, 0.0, None, 1, RunStarted(critic), None),
            Notice(2, 0.0, 9, 1, VerdictChanged(9, Verdict("dead", "no gradient")), None),
        )
        blocks = (
            StepBlock.of([make_record(step, 2) for step in range(1, 10)]),
            StepBlock.of([replace(make_record(step, 1), part=1) for step in range(1, 10)]),
        )
        await pilot.press(view)
        await play(
            pilot, source, [Batch(blocks, notices, {1: Snapshot(verdict=Verdict("dead", "no gradient"))}, 0)]
        )
        assert "p part 0… 1○" in line_with(app, "p part")
        assert line_with(app, "generator.weight")
        await pilot.press("p")
        await pilot.pause()
        assert "DEAD" in line_with(app, "p part")
        assert line_with(app, "critic.weight")
        assert not any("generator" in line for line in screen_lines(app))
        await pilot.press("p")
        await pull(pilot, source)
        assert line_with(app, "generator.weight")
        assert line_with(app, "loss of part 0  train")
        assert source.submitted == []
        # The result's losses are those of part 0, whichever part is shown.
        await pilot.press("p")
        await pull(pilot, source, make_batch(notices=(ended(9),)))
        assert line_with(app, "loss of part 1  train")
        assert line_with(app, "loss of part 0 4.700 → 1.600")


async def test_a_run_of_one_part_has_no_other_to_show() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        await pilot.press("p")
        assert app.state.shown_part == 0
        assert not any("p part" in line for line in screen_lines(app))


@pytest.mark.parametrize("seed", [None, 0])
async def test_a_seed_is_shown_where_it_is_known(seed: int | None) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        started = make_batch(notices=(RunStarted(make_info(seed=seed)),))
        await play(pilot, source, [started, make_batch((make_record(1),))])
        row = line_with(app, "charlm-rnn")
        assert "cpu" in row and ("seed" in row) == (seed is not None)


@pytest.mark.parametrize(("loss", "shown"), [(2.3e-6, "2.3e-6"), (4.1e9, "4.1e9"), (1.25, "1.250")])
async def test_the_last_validation_is_shown_in_digits_that_say_something(loss: float, shown: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, make_batch(notices=(ended(300, val_loss=loss),)))
        assert f"validation {shown}  " in line_with(app, "DONE after 300 steps")
