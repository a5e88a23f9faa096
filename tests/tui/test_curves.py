"""Thinning keeps every extreme and never draws across what is not finite."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vgrad_tui.curves import band, line

points = st.lists(
    st.tuples(st.floats(0, 29.9), st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=80
).map(sorted)


@given(points)
def test_a_band_keeps_the_extremes_of_every_column_in_two_points(
    found: list[tuple[float, float, float, bool]],
) -> None:
    columns, one, other, finite = (np.array(part) for part in zip(*found, strict=True)) if found else (
        np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=bool)
    )  # fmt: skip
    low, high = np.minimum(one, other), np.maximum(one, other)
    finite = finite.astype(bool)
    curve = band(columns, finite, low, high, dot=0.0)
    for column in range(30):
        here = finite & (np.floor(columns) == column)
        drawn = curve.heights[np.floor(curve.columns) == column]
        assert len(drawn) <= 2 * (1 + np.count_nonzero(~finite & (np.floor(columns) == column)))
        if here.any():
            assert drawn.min() == low[here].min()
            assert drawn.max() == high[here].max()
        else:
            assert not len(drawn)


def test_no_stroke_crosses_a_gap() -> None:
    columns = np.arange(6.0)
    finite = np.array([True, True, False, True, True, True])
    heights = np.linspace(0, 1, 6)
    assert line(columns, finite, heights).joined.tolist() == [False, True, False, True, True]
    assert band(columns, finite, heights, heights, 0.1).joined.tolist() == [False, True, False, True, True]


def test_a_gap_within_a_column_is_a_gap() -> None:
    columns = np.array([0.1, 0.2, 0.3, 0.4])
    finite = np.array([True, True, False, True])
    curve = line(columns, finite, np.array([0.1, 0.2, np.nan, 0.4]))
    assert curve.heights.tolist() == [0.2, 0.4]
    assert curve.joined.tolist() == [False, False]


def test_nothing_to_draw_is_no_error() -> None:
    nothing, no_bools = np.empty(0), np.empty(0, dtype=bool)
    assert not len(band(nothing, no_bools, nothing, nothing, 0.1).columns)
    assert not len(line(np.arange(3.0), np.zeros(3, dtype=bool), np.full(3, np.nan)).columns)
