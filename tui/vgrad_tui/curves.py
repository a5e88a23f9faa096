"""Thin a curve out to what the columns of a chart can show, without losing an extreme."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]


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


def band(columns: Float64s, finite: Bools, low: Float64s, high: Float64s, dot: float) -> Curve:
    """From lowest to highest in one column, and back down in the next: at most two points in each.

    Args:
        columns: Ascending positions of the points, in columns; shape ``(n,)``.
        finite: Which points can be drawn; no stroke crosses one that cannot. Shape ``(n,)``.
        low: Lower ends, in shares of the height; shape ``(n,)``.
        high: Upper ends; shape ``(n,)``.
        dot: Height of a dot. A stroke within one dot needs no second point.
    """
    starts, joined = _groups(columns, finite)
    if not len(starts):
        return Curve(np.empty(0), np.empty(0), joined)
    bottom, top = np.minimum.reduceat(low[finite], starts), np.maximum.reduceat(high[finite], starts)
    ends = np.stack((bottom, top), axis=1)
    ends[1::2] = ends[1::2, ::-1]
    always = np.ones_like(joined)
    needed = np.stack((always, top - bottom > dot), axis=1).ravel()
    strokes = np.stack((joined, always), axis=1).ravel()
    return Curve(np.repeat(columns[finite][starts], 2)[needed], ends.ravel()[needed], strokes[needed])


def line(columns: Float64s, finite: Bools, heights: Float64s) -> Curve:
    """The last point of each column; for the arguments see `band`."""
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
