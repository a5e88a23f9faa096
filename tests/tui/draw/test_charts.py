"""Charts as text: what is drawn where, in which role, at any size."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgrad_tui.draw.charts import ChartRow, LossChart, Role, SeriesChart, draw_loss, draw_series

EMPTY = LossChart(
    steps=np.empty(0),
    raw_min=np.empty(0),
    raw_max=np.empty(0),
    smooth=np.empty(0),
    val_steps=np.empty(0),
    val_losses=np.empty(0),
    marks=(),
    log=False,
    first=1,
    last=100,
)


def chart(losses: list[float], **changes: object) -> LossChart:
    """A loss per step, smoothed by nothing."""
    values = np.array(losses, dtype=np.float64)
    steps = np.arange(1.0, len(losses) + 1)
    plain = dataclasses.replace(EMPTY, steps=steps, raw_min=values, raw_max=values, smooth=values)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def text(rows: list[ChartRow]) -> list[str]:
    return ["".join(part for part, _ in row) for row in rows]


def cells(rows: list[ChartRow], role: Role) -> str:
    """All that is drawn in a role."""
    return "".join(part for row in rows for part, its in row if its == role)


def is_curve(found: str) -> bool:
    return bool(found) and all("\u2800" <= char <= "\u28ff" for char in found)


@given(
    losses=st.lists(st.floats(width=32), max_size=40),
    log=st.booleans(),
    width=st.integers(0, 60),
    height=st.integers(0, 12),
    marks=st.lists(st.tuples(st.integers(-5, 200), st.sampled_from(["clip off", "lr × 0.5"])), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_any_chart_fills_exactly_its_cells(
    losses: list[float], log: bool, width: int, height: int, marks: list[tuple[int, str]]
) -> None:
    data = chart(losses, log=log, marks=tuple(marks), val_steps=np.array([7.0]), val_losses=np.array([1.0]))
    rows = draw_loss(data, width, height)
    assert len(rows) == (height if width else 0)
    assert all(len(line) == width for line in text(rows))
    assert {role for row in rows for _, role in row} <= set(get_args(Role))


@pytest.mark.parametrize(
    "data",
    [
        EMPTY,
        chart([2.0]),
        chart([2.0] * 50),
        chart([0.0] * 50),
        chart([-1.0, -2.0], log=True),
        chart([math.nan] * 50),
        chart([2.0], first=1, last=1),
        chart([3.4e38, -3.4e38, 1e-45]),
    ],
    ids=["empty", "one point", "constant", "zero", "nothing positive", "all NaN", "one step", "extremes"],
)
@pytest.mark.parametrize("size", [(10, 3), (1, 1), (80, 10)])
def test_odd_data_is_drawn(data: LossChart, size: tuple[int, int]) -> None:
    assert [len(line) for line in text(draw_loss(data, *size))] == [size[0]] * size[1]


def test_a_falling_loss_falls_on_the_screen() -> None:
    rows = draw_loss(chart(list(np.linspace(4, 1, 100))), 60, 12)
    tops = [next((y for y, line in enumerate(text(rows)) if is_curve(line[x])), 99) for x in (5, 30, 55)]
    assert tops == sorted(tops)
    assert tops[0] < tops[-1]


def test_every_part_has_its_role() -> None:
    data = chart(
        list(np.linspace(4, 1, 100)),
        smooth=np.full(100, 2.0),
        val_steps=np.array([50.0]),
        val_losses=np.array([3.5]),
        marks=((40, "clip norm 1"),),
    )
    rows = draw_loss(data, 80, 14)
    assert is_curve(cells(rows, "raw"))
    assert is_curve(cells(rows, "smooth"))
    assert cells(rows, "val") == "◆"
    assert set(cells(rows, "mark")) == {"╎"}
    assert cells(rows, "mark-label") == " clip norm 1 "
    assert "└" in cells(rows, "axis")
    assert "100" in cells(rows, "text")
    assert not cells(rows, "plain").strip()


def test_a_spike_of_one_point_reaches_the_top() -> None:
    losses = [1.0] * 300
    losses[150] = 50.0
    data = chart(losses, smooth=np.ones(300), last=300)
    assert any(is_curve(char) for char in text(draw_loss(data, 60, 12))[0])


def test_smoothing_does_not_hide_the_raw_loss() -> None:
    losses = np.random.default_rng(0).normal(3, 1, size=200)
    rows = draw_loss(chart(list(losses), smooth=np.full(200, 3.0), last=200), 80, 16)
    assert len(cells(rows, "raw")) > len(cells(rows, "smooth"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_marked_and_not_bridged(bad: float) -> None:
    losses = [2.0] * 100
    losses[40:60] = [bad] * 20
    rows = draw_loss(chart(losses), 60, 10)
    top = text(rows)[0]
    marked = [x for x, char in enumerate(top) if char == "×"]
    assert len(marked) > 8
    assert cells(rows, "bad") == "×" * len(marked)
    gap = [line[x] for line in text(rows)[1:-2] for x in marked[1:-1]]
    assert set(gap) == {" "}


def test_a_validation_that_is_not_finite_is_marked() -> None:
    data = chart([2.0] * 100, val_steps=np.array([50.0]), val_losses=np.array([math.nan]))
    assert cells(draw_loss(data, 60, 10), "bad") == "×"


def test_a_log_axis_shows_decades_and_keeps_zeros_at_its_foot() -> None:
    losses = [10.0 ** -(step / 20) for step in range(99)] + [0.0]
    rows = draw_loss(chart(losses, log=True), 60, 14)
    assert "1e-5" in cells(rows, "text")
    assert text(rows)[-3][-1] == "·"


def test_labels_never_overlap_and_the_newest_has_priority() -> None:
    marks = tuple((step, f"accumulate {step}") for step in range(40, 80))
    rows = draw_loss(chart([1.0] * 100, marks=marks), 60, 8)
    labels = [part for row in rows for part, role in row if role == "mark-label"]
    assert " accumulate 79 " in "".join(labels)
    assert 0 < len(labels) < len(marks)
    joined = "".join(labels).split()
    assert joined == [word for step in joined[1::2] for word in ("accumulate", step)]


def test_marks_outside_the_range_are_not_drawn() -> None:
    rows = draw_loss(chart([1.0] * 100, marks=((0, "before"), (101, "after"))), 60, 10)
    assert not cells(rows, "mark") + cells(rows, "mark-label")


def test_steps_have_thousands_separators_and_do_not_touch() -> None:
    for width in range(20, 130):
        words = text(draw_loss(chart([1.0] * 9, last=128_000), width, 10))[-1].split()
        assert words
        assert all(int(word.replace(",", "")) % 1000 == 0 for word in words)


def test_the_same_range_keeps_old_columns_while_new_points_come() -> None:
    losses = list(np.linspace(4, 1, 80))
    before, after = (text(draw_loss(chart(losses[:n], last=100), 60, 12)) for n in (70, 72))
    assert [line[:38] for line in before] == [line[:38] for line in after]


def test_a_series_is_drawn_with_its_band_and_its_mean() -> None:
    low = np.geomspace(1e-3, 1e-6, 100)
    series = SeriesChart(
        steps=np.arange(1.0, 101.0),
        raw_min=low,
        raw_max=low * 30,
        mean=low * 5,
        marks=((50, "clip off"),),
        log=True,
        first=1,
        last=100,
    )
    rows = draw_series(series, 80, 12)
    assert is_curve(cells(rows, "raw"))
    assert is_curve(cells(rows, "smooth"))
    assert cells(rows, "mark-label") == " clip off "
    assert "1e-4" in cells(rows, "text")


def test_plotext_is_not_imported_before_it_draws() -> None:
    code = "import sys, vgrad_tui.draw.charts; print('plotext' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_plotext_comes_without_its_documentation_which_takes_longer_than_the_rest() -> None:
    code = "import sys; from vgrad_tui.draw.charts import warm_up; warm_up(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "plotext._kernel.api" in modules
    assert not [name for name in modules if name.startswith("plotext._doc.sections")]


def test_what_is_zero_has_no_place_on_a_logarithmic_axis_and_is_told() -> None:
    zeros = chart([0.0] * 20, log=True, last=20)
    rows = draw_loss(zeros, 40, 10)
    assert set(cells(rows, "bad")) == {"·"}
    assert not cells(rows, "smooth") and not cells(rows, "raw")
    assert is_curve(cells(draw_loss(dataclasses.replace(zeros, log=False), 40, 10), "smooth"))


@pytest.mark.parametrize("height", [2, 3, 4, 5])
@pytest.mark.parametrize(("low", "high", "log"), [(1e-6, 10.0, True), (1.2, 4.9, True), (0.1, 0.9, False)])
def test_the_lowest_charts_say_what_their_range_is(height: int, low: float, high: float, log: bool) -> None:
    rows = draw_loss(chart([high, low], log=log), 60, height)
    assert sum("┤" in row for row in text(rows)) >= 2
