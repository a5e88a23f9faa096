"""Axes: round, short, and seldom moving."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad_tui.draw.axes import ValueAxis, nice_range, round_step, step_ticks

steps = st.integers(0, 10**12)
values = st.lists(st.floats(width=32), max_size=30).map(np.array)


@given(steps)
def test_a_range_holds_its_step_and_little_more(step: int) -> None:
    end = nice_range(step)
    assert max(20, step) <= end <= max(20, 1.2 * step)
    assert nice_range(end) == end


def test_a_range_seldom_moves() -> None:
    ends = sorted({nice_range(step) for step in range(1, 100_000)})
    assert ends[:6] == [20, 24, 28, 32, 36, 40]
    assert len(ends) < 70
    assert all(1.1 <= later / end <= 1.21 for end, later in itertools.pairwise(ends))


@given(st.floats(1e-30, 1e30))
def test_a_round_step_is_one_two_or_five(rough: float) -> None:
    step = round_step(rough)
    assert rough * (1 - 1e-6) <= step <= 2.5 * rough * (1 + 1e-6)
    assert float(f"{step:.6e}"[:8]) in (1, 2, 5)


@given(steps, steps, st.integers(0, 30))
def test_step_ticks_are_round_and_few(first: int, length: int, num: int) -> None:
    last = first + length
    ticks = step_ticks(first, last, num)
    assert len(ticks) <= max(3, num) + 1
    assert ticks or not length
    assert all(first <= position <= last for position, _ in ticks)
    assert all(int(label.replace(",", "")) == position for position, label in ticks)


def test_step_ticks_have_thousands_separators() -> None:
    assert [label for _, label in step_ticks(1, 2400, 3)] == ["1,000", "2,000"]


@given(values, st.booleans())
def test_an_axis_holds_all_it_is_for(found: np.ndarray, log: bool) -> None:
    axis = ValueAxis.holding(found, log=log)
    assert math.isfinite(axis.low)
    assert axis.low < axis.high < math.inf
    shares = axis.place(found)
    assert (np.isnan(shares) == np.isnan(found)).all()
    assert ((shares >= 0) & (shares <= 1) | np.isnan(shares)).all()
    usable = np.isfinite(found) & ((found > 0) | (not log))
    placed = np.log10(found[usable]) if log else found[usable]
    slack = 1e-6 * max(abs(axis.low), abs(axis.high))
    assert ((placed >= axis.low - slack) & (placed <= axis.high + slack)).all()


@given(values, st.booleans(), st.integers(1, 12))
def test_ticks_stand_where_their_label_says(found: np.ndarray, log: bool, num: int) -> None:
    axis = ValueAxis.holding(found, log=log)
    ticks = axis.ticks(num)
    shares = [share for share, _ in ticks]
    assert shares == sorted(set(shares))
    assert len({label for _, label in ticks}) == len(ticks)
    for share, label in ticks:
        stands = axis.place(np.array([float(label.replace(",", ""))]))[0]
        assert stands == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("low", "high", "log", "labels"),
    [
        (0.0, 3.0, False, ["0", "1", "2", "3"]),
        (1.5, 2.75, False, ["1.5", "2.0", "2.5"]),
        (0.0, 3e7, False, ["0", "1e7", "2e7", "3e7"]),
        (2.30001, 2.30004, False, ["2.30001", "2.30002", "2.30003", "2.30004"]),
        (-3.0, 3.0, False, ["-2", "0", "2"]),
        (1e-6, 10.0, True, ["1e-6", "1e-4", "0.01", "1"]),
        (1.2, 4.9, True, ["2", "3", "4", "5"]),
    ],
)
def test_labels_are_short(low: float, high: float, log: bool, labels: list[str]) -> None:
    axis = ValueAxis.holding(np.array([low, high]), log=log)
    assert [label for _, label in axis.ticks(4)] == labels


def test_what_is_not_positive_stands_at_the_foot_of_a_log_axis() -> None:
    axis = ValueAxis.holding(np.array([-1.0, 0.0, 0.1, 10.0]), log=True)
    assert axis.place(np.array([-1.0, 0.0, 10.0, np.inf])).tolist() == [0, 0, 1, 1]


def test_a_little_more_data_does_not_move_the_axis() -> None:
    assert ValueAxis.holding(np.array([1.02, 4.31]), log=False) == ValueAxis.holding(
        np.array([1.05, 4.38]), log=False
    )


@given(values, st.booleans())
def test_where_one_tick_is_asked_for_two_show_the_range(found: np.ndarray, log: bool) -> None:
    ticks = ValueAxis.holding(found, log=log).ticks(1)
    assert len(ticks) >= 2
