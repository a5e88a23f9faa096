"""Sparklines of many layers at once: from history buckets to rows of characters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vgrad.events.history import History
from vgrad_tui.draw.runs import Runs

_BLOCKS = "▁▂▃▄▅▆▇█"
# By index: nothing recorded, an exact zero, not finite, then the levels.
_GLYPHS = np.array([" ", "·", "×", *_BLOCKS])
_EMPTY, _ZERO, _NOT_FINITE, _LOWEST = range(4)


@dataclass(frozen=True, slots=True)
class Decades:
    """A log scale, in whole powers of ten so that it seldom changes."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"1e{self.low} to 1e{self.high}"


def decades_of(values: NDArray[np.float32]) -> Decades:
    """The smallest scale in whole decades that holds all finite positive ``values``."""
    usable = values[np.isfinite(values) & (values > 0)]
    if not usable.size:
        return Decades(-1, 0)
    low = math.floor(math.log10(float(usable.min())))
    high = math.ceil(math.log10(float(usable.max())))
    return Decades(low, max(high, low + 1))


class Resolution:
    """How many steps a column of the sparklines stands for.

    The whole run is shown until a column would stand for more than a moment; from then on the
    columns scroll. It only ever gets coarser, so that the picture does not jump back and forth; where the
    terminal has become wider it begins again.

    Attributes:
        width: Steps per column, a power of two.
    """

    def __init__(self) -> None:
        self.width = 1
        self._columns = 0

    def follow(self, history: History, columns: int, steps_per_s: float, column_s: float) -> None:
        """Adapt to the run.

        Args:
            history: What is shown.
            columns: Columns that there are.
            steps_per_s: Speed of the run; NaN when unknown.
            column_s: Seconds that a column may stand for while the whole run does not fit.
        """
        if columns > self._columns:
            self.width = 1
        self._columns = columns
        num_steps = history.last_step + 1
        moment = 1.0 if math.isnan(steps_per_s) else steps_per_s * column_s
        while self.width * columns < num_steps and self.width < moment:
            self.width *= 2
        # A history of many layers keeps few buckets per level, so that some widths would leave columns empty.
        while history.num_kept(self.width) < min(columns, history.num_kept(2 * self.width)):
            self.width *= 2


def draw(
    history: History, width: int, columns: int, layers: list[int], scale: Decades | None
) -> tuple[list[Runs], Decades]:
    """Draw the last ``columns`` buckets of some layers, the largest value of each bucket.

    Args:
        history: Gradient norms per layer.
        width: Steps per column.
        columns: Columns of each sparkline.
        layers: Which layers, in which order.
        scale: The log scale, or None to give each row one of its own.

    Returns:
        Runs per layer, and the decades that all of them span.
    """
    num_buckets = min(columns, history.last_step // width - history.first_step // width + 1)
    buckets = history.tail(width, num_buckets, layers)
    values = buckets.max.T  # (layers, buckets)
    spanned = decades_of(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    if scale is not None:
        low, height = float(scale.low), float(scale.high - scale.low)
        share = (logs - low) / height
    else:
        finite = np.where(np.isfinite(logs), logs, np.nan)
        lows, highs = range_per_row(finite)
        share = (logs - lows[:, None]) / np.maximum(highs - lows, 0.1)[:, None]
    top = len(_BLOCKS) - 1
    levels = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0) * len(_BLOCKS), 0, top)
    codes = levels.astype(np.int64) + _LOWEST
    codes[values == 0] = _ZERO
    codes[~np.isfinite(values)] = _NOT_FINITE
    codes[:, buckets.count == 0] = _EMPTY
    # While the run fits it grows to the right: what has been drawn stays where it is.
    rest = " " * (columns - num_buckets)
    return [_row_runs(row, rest) for row in _GLYPHS[codes]], spanned


def range_per_row(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smallest and largest number per row; 0 for a row without any."""
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(low), low, 0), np.where(np.isfinite(high), high, 0)


def _row_runs(row: NDArray[np.str_], rest: str) -> Runs:
    text = "".join(row) + rest
    if "×" not in text:
        return [(text, "smooth")]
    return [
        ("".join(characters), "bad" if bad else "smooth")
        for bad, characters in groupby(text, lambda character: character == "×")
    ]
