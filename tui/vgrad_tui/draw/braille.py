"""Thin a curve out to what the columns of a chart can show, without losing an extreme."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]


# Bits of a braille pattern (Unicode U+2800 on), by row and column of its dots.
_DOT_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


_REACH = 4  # dots


class Curve(NamedTuple):
    """Points of a line.

    Attributes:
        columns: Ascending positions, in columns; shape ``(n,)``.
        heights: Shares of the height, in [0, 1]; shape ``(n,)``.
        joined: Whether a stroke leads to the point from the one before; shape ``(n,)``.
    """

    columns: Float64s
    heights: Float64s
    joined: Bools


def band(
    columns: Float64s, finite: Bools, low: Float64s, high: Float64s, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """The area between two curves, as braille dots.

    Points that are at most two cells apart are joined to one area; others stand alone, as dots.

    Args:
        columns: Ascending positions of the points, in columns; shape ``(n,)``.
        finite: Which points can be drawn; shape ``(n,)``.
        low: Lower ends, in shares of the height; shape ``(n,)``.
        high: Upper ends; shape ``(n,)``.
        shape: Rows and columns of cells.

    Returns:
        Bits of the braille pattern of each cell, of ``shape``; 0 for an empty one.
    """
    num_rows, num_columns = shape
    height, width = 4 * num_rows, 2 * num_columns
    left = np.clip((columns[finite] * 2).astype(np.int64), 0, width - 1)
    top = np.clip(((1 - high[finite]) * height).astype(np.int64), 0, height - 1)
    bottom = np.clip(((1 - low[finite]) * height).astype(np.int64), 0, height - 1)
    tops, bottoms = np.full(width, height), np.full(width, -1)
    np.minimum.at(tops, left, top)
    np.maximum.at(bottoms, left, bottom)
    # A point reaches to the next one if that is near and nothing bad is between.
    gaps = np.diff(left)
    is_near = (gaps <= _REACH) & (np.diff(np.flatnonzero(finite)) == 1)
    for offset in range(1, _REACH):
        start = left[:-1][is_near & (gaps > offset)]
        tops[start + offset], bottoms[start + offset] = tops[start], bottoms[start]
    rows = np.arange(height)[:, None]
    dots = ((rows >= tops) & (rows <= bottoms)).reshape(num_rows, 4, num_columns, 2)
    bits: NDArray[np.uint8] = (dots * _DOT_BITS[:, None, :]).sum(axis=(1, 3)).astype(np.uint8)
    return bits


def line(columns: Float64s, finite: Bools, heights: Float64s) -> Curve:
    """The last point of each column.

    Args:
        columns: Ascending positions of the points, in columns; shape ``(n,)``.
        finite: Which points can be drawn; no stroke crosses one that cannot. Shape ``(n,)``.
        heights: Shares of the height; shape ``(n,)``.
    """
    starts, joined = _groups(columns, finite)
    last = np.append(starts[1:], np.count_nonzero(finite)) - 1 if len(starts) else starts
    return Curve(columns[finite][last], heights[finite][last], joined)


def _groups(columns: Float64s, finite: Bools) -> tuple[NDArray[np.intp], Bools]:
    """Where, among the finite points, a column begins, and whether the point before was finite, too."""
    stretch = np.cumsum(~finite)[finite]
    new_stretch = np.diff(stretch, prepend=-1) != 0
    new_column = np.diff(np.floor(columns[finite]), prepend=-1) != 0
    starts = np.flatnonzero(new_stretch | new_column)
    return starts, ~new_stretch[starts]
