"""The heat map's numbers: root mean square gradients by depth and time, and the ramp they are drawn with.

A cell stands for a stretch of steps and a bin of neighbouring layers and holds the largest value
of both, so that a spike of one layer at one step is never averaged away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vgrad.events.history import History
from vgrad_tui.draw.sparklines import Decades, range_per_row

Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]

NO_RECORD = np.float32(-1)  # in place of a value: no step of that stretch was recorded

RAMP = "▁▂▃▄▅▆▇█"
# By code. Each differs from all others in ASCII, too (see `vgrad_tui.terminal.driver`).
GLYPHS = np.array([" ", "·", "∞", "×", *RAMP])
EMPTY, ZERO, INFINITE, NOT_A_NUMBER, LOWEST = range(5)


@dataclass(frozen=True, slots=True)
class Grid:
    """Which steps each column stands for.

    Attributes:
        level: Level of the history that is read.
        buckets_per_column: Buckets of that level that make a column.
        width: Steps per column.
        first: Number of the first column: it begins at step ``first * width``.
        num_columns: Columns up to the end of the axis.
    """

    level: int
    buckets_per_column: int
    width: int
    first: int
    num_columns: int

    @classmethod
    def fit(cls, history: History, first_step: int, last_step: int, max_columns: int) -> Grid:
        """The finest grid that shows ``first_step`` to ``last_step`` in at most ``max_columns`` (>= 2).

        Columns begin at multiples of their width, so a growing run keeps those that it has.
        """
        # A stretch touches at most one aligned column more than its length divided by their width.
        wanted = max(1, -(-(last_step - first_step) // (max_columns - 1)))
        begin = max(first_step, history.first_step)
        level = 0
        while level + 1 < history.num_levels and (
            history.fanout ** (level + 1) <= wanted or _oldest(history, level) > begin
        ):
            level += 1
        bucket = history.fanout**level
        per_column = -(-wanted // bucket)
        width = per_column * bucket
        first = first_step // width
        return cls(level, per_column, width, first, last_step // width - first + 1)


def _oldest(history: History, level: int) -> int:
    """First step that a level of the history still holds."""
    width: int = history.fanout**level
    return (history.last_step // width - history.capacity + 1) * width


def bin_starts(num_layers: int, max_rows: int) -> Ints:
    """Where each row's bin of layers begins: a layer to a row, or as evenly as rows are scarce."""
    num_rows = max(1, min(num_layers, max_rows))
    return np.arange(num_rows) * num_layers // num_rows


class HeatColumns:
    """The heat map's values. Columns that are closed are kept, so a frame costs its newest column."""

    def __init__(self) -> None:
        self._key: tuple[Grid, bytes, bytes] | None = None
        self._values: Float32s = np.zeros((0, 0), dtype=np.float32)
        self._num_closed = 0

    def values(
        self, history: History, grid: Grid, layers: Ints, starts: Ints, roots: NDArray[np.float64]
    ) -> Float32s:
        """Largest root mean square gradient per bin of layers and column of steps.

        Args:
            history: L2 norms per layer.
            grid: The columns.
            layers: Layers in order of their depth.
            starts: Where each bin begins in ``layers``; the first at 0, strictly ascending.
            roots: Square roots of the sizes of all layers of the model.

        Returns:
            Shape ``(len(starts), grid.num_columns)``: NaN if any of a cell's values is NaN, `NO_RECORD`
            where none was recorded (or it is no longer kept). Not a copy.
        """
        key = (grid, layers.tobytes(), starts.tobytes())
        if key != self._key:
            self._key = key
            self._values = np.full((len(starts), grid.num_columns), NO_RECORD, dtype=np.float32)
            self._num_closed = 0
        newest = min(history.last_step // grid.width - grid.first, grid.num_columns - 1)
        if newest >= self._num_closed:
            norms = _largest(history, grid, self._num_closed, newest, layers)
            rms = (norms / roots[layers]).astype(np.float32)
            fresh = np.maximum.reduceat(rms, starts, axis=1).T
            self._values[:, self._num_closed : newest + 1] = np.where(fresh < 0, NO_RECORD, fresh)
            is_over = history.last_step >= (grid.first + newest + 1) * grid.width - 1
            self._num_closed = newest + is_over
        return self._values


def _largest(history: History, grid: Grid, first: int, last: int, layers: Ints) -> Float32s:
    """Largest norm per column ``first`` to ``last`` of the grid and layer; negative without a record."""
    per_column = grid.buckets_per_column
    begin = (grid.first + first) * per_column
    end = (grid.first + last + 1) * per_column
    width = history.fanout**grid.level
    newest = history.last_step // width
    num_kept = min(newest + 1 - begin, history.capacity)  # what came before is no longer known
    buckets = history.tail(width, num_kept, layers.tolist())
    start = newest + 1 - num_kept - begin
    stop = min(newest + 1, end) - begin
    fine = np.full((end - begin, len(layers)), NO_RECORD, dtype=np.float32)
    fine[start:stop] = np.where(buckets.count[:, None] > 0, buckets.max, NO_RECORD)[: max(0, stop - start)]
    columns: Float32s = fine.reshape(last - first + 1, per_column, len(layers)).max(axis=1)
    return columns


def codes_of(values: Float32s, scale: Decades | None) -> Ints:
    """Indices into `GLYPHS`, of the shape of ``values``.

    Args:
        values: Root mean squares, shape ``(rows, columns)``.
        scale: The log scale, or None to give each row one of its own.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    if scale is not None:
        share = (logs - scale.low) / (scale.high - scale.low)
    else:
        low, high = range_per_row(np.where(np.isfinite(logs), logs, np.nan))
        share = (logs - low[:, None]) / np.maximum(high - low, 0.1)[:, None]
    share = np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0)
    codes: Ints = np.clip(share * len(RAMP), 0, len(RAMP) - 1).astype(np.int64) + LOWEST
    codes[values < 0] = EMPTY
    codes[values == 0] = ZERO
    codes[np.isposinf(values)] = INFINITE
    codes[np.isnan(values)] = NOT_A_NUMBER
    return codes


def stretch(num_columns: int, num_cells: int) -> Ints:
    """Column that each of ``num_cells >= num_columns`` cells shows: all of them, as evenly as can be."""
    return np.arange(num_cells) * num_columns // num_cells
