"""Thinning keeps every extreme and never draws across what is not finite."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vgrad_tui.draw.braille import band, line

points = st.lists(
    st.tuples(st.floats(0, 29.9), st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=80
).map(sorted)


def rows_with_dots(bits: np.ndarray, column: int) -> list[int]:
    """Dot rows, from the top, that are set in a column of cells."""
    order = (0x01 | 0x08, 0x02 | 0x10, 0x04 | 0x20, 0x40 | 0x80)
    return [4 * row + dot for row in range(len(bits)) for dot in range(4) if bits[row, column] & order[dot]]


@given(points)
def test_a_band_reaches_from_the_lowest_to_the_highest_of_every_column(
    found: list[tuple[float, float, float, bool]],
) -> None:
    columns, one, other, finite = (np.array(part) for part in zip(*found, strict=True)) if found else (
        np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=bool)
    )  # fmt: skip
    low, high = np.minimum(one, other), np.maximum(one, other)
    finite = finite.astype(bool)
    bits = band(columns, finite, low, high, (10, 30))
    for column in range(30):
        here = finite & (np.floor(columns) == column)
        dots = rows_with_dots(bits, column)
        if here.any():
            assert dots[0] <= min(39, int((1 - high[here].max()) * 40))
            assert dots[-1] >= min(39, int((1 - low[here].min()) * 40))
        elif not (finite & (columns < column) & (columns >= column - 3)).any():
            assert not dots


def test_points_two_cells_apart_make_an_area_and_points_further_apart_stay_dots() -> None:
    one = np.array([True] * 4)
    near = band(np.arange(0.0, 8.0, 2.0), one, np.zeros(4), np.ones(4), (1, 8))
    assert near[0, :6].tolist() == [0xFF] * 6
    far = band(np.arange(0.0, 12.0, 3.0), one, np.zeros(4), np.ones(4), (1, 12))
    assert far[0].tolist() == [0x47, 0, 0] * 4


def test_no_stroke_crosses_a_gap() -> None:
    columns = np.arange(6.0)
    finite = np.array([True, True, False, True, True, True])
    heights = np.linspace(0, 1, 6)
    assert line(columns, finite, heights).joined.tolist() == [False, True, False, True, True]
    assert band(columns, finite, np.zeros(6), np.ones(6), (1, 6))[0, 1] == 0x47


def test_a_gap_within_a_column_is_a_gap() -> None:
    columns = np.array([0.1, 0.2, 0.3, 0.4])
    finite = np.array([True, True, False, True])
    curve = line(columns, finite, np.array([0.1, 0.2, np.nan, 0.4]))
    assert curve.heights.tolist() == [0.2, 0.4]
    assert curve.joined.tolist() == [False, False]


def test_nothing_to_draw_is_no_error() -> None:
    nothing, no_bools = np.empty(0), np.empty(0, dtype=bool)
    assert not band(nothing, no_bools, nothing, nothing, (3, 4)).any()
    assert not len(line(np.arange(3.0), np.zeros(3, dtype=bool), np.full(3, np.nan)).columns)
