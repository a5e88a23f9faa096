"""Bounded history: every step of the recent past, min, max and mean of the old.

A pyramid of rings. Level 0 keeps the last ``capacity`` steps as they were; level ``l`` keeps
the last ``capacity`` buckets of ``fanout ** l`` steps. A bucket's number is its step divided by
its width, its slot that number modulo ``capacity``, and each slot remembers whose bucket it
holds: so gaps cost nothing, and the bucket still open is simply the newest slot, merged into
until the next one begins.

    level 2   [ 0 ....... 15 | 16 ...... 31 | 32 .. ]      min, max, mean
    level 1                  [ 16..19 | 20..23 | 24..27 | 28..31 | 32.. ]
    level 0                                                 [ 30 31 32 33 34 ]   as it was
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgrad.errors import ConfigError

Float32s = NDArray[np.float32]
Int64s = NDArray[np.int64]
Channels = Sequence[int] | slice

ALL_CHANNELS = slice(None)
MAX_CAPACITY = 1024  # more columns than a terminal has: a longer ring would show nothing more


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Consecutive stretches of steps, a row each, oldest first.

    A NaN at any step makes the whole bucket NaN, and an infinity stays one: nothing that went
    wrong is averaged away. A bucket without a record is NaN too; only its ``count`` of 0 tells.

    Attributes:
        first_step: First step of each bucket, int64 of shape ``(n,)``.
        steps_per_bucket: Width of every bucket, in steps.
        min: Smallest value per bucket and channel, float32 of shape ``(n, num_channels)``.
        max: Largest value, of the same shape.
        mean: Mean over the recorded steps, of the same shape.
        count: Recorded steps per bucket, int64 of shape ``(n,)``.
    """

    first_step: Int64s
    steps_per_bucket: int
    min: Float32s
    max: Float32s
    mean: Float32s
    count: Int64s

    def rows(self, which: slice | NDArray[np.bool_]) -> Buckets:
        """The buckets that ``which`` selects."""
        return Buckets(
            self.first_step[which],
            self.steps_per_bucket,
            self.min[which],
            self.max[which],
            self.mean[which],
            self.count[which],
        )


class History:
    """Values of many channels over a run of any length, in memory that never grows.

    Args:
        num_channels: Values per record.
        capacity: Buckets kept per level; at least ``fanout``.
        fanout: Buckets of one level that make one of the next; at least 2.
        levels: Number of levels. Steps more than ``span`` back are forgotten.

    Raises:
        ConfigError: If a size is out of range.
    """

    def __init__(self, num_channels: int, capacity: int = 512, *, fanout: int = 4, levels: int = 10) -> None:
        if num_channels < 0 or fanout < 2 or capacity < fanout or levels < 1:
            raise ConfigError(
                "history needs num_channels >= 0, fanout >= 2, capacity >= fanout and levels >= 1, got "
                f"num_channels={num_channels}, fanout={fanout}, capacity={capacity}, levels={levels}"
            )
        self.num_channels = num_channels
        self.capacity = capacity
        self.fanout = fanout
        self.first_step = 0
        self.last_step = -1
        self._levels = [_Level(num_channels, capacity, fanout**level) for level in range(levels)]

    @classmethod
    def sized(
        cls, num_channels: int, *, max_bytes: int = 64_000_000, span: int = 1_000_000, fanout: int = 4
    ) -> Self:
        """Return the finest history that fits in ``max_bytes`` and reaches back ``span`` steps.

        Raises:
            ConfigError: If the budget is too small for that many channels.
        """
        levels = 1
        while True:
            capacity = min(MAX_CAPACITY, max_bytes // _bytes_per_slot(num_channels, levels))
            if capacity < fanout:
                raise ConfigError(
                    f"{max_bytes} bytes cannot hold {span} steps of {num_channels} channels: "
                    "give more bytes or a shorter span"
                )
            if capacity * fanout ** (levels - 1) >= span:
                return cls(num_channels, capacity, fanout=fanout, levels=levels)
            levels += 1

    @property
    def num_levels(self) -> int:
        """Number of resolutions; level ``l`` has buckets of ``fanout ** l`` steps."""
        return len(self._levels)

    @property
    def span(self) -> int:
        """Steps that the coarsest level reaches back."""
        return self.capacity * self._levels[-1].width

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays: the same from the first step to the last."""
        return self.capacity * _bytes_per_slot(self.num_channels, self.num_levels)

    def extend(self, steps: ArrayLike, values: ArrayLike) -> None:
        """Append a block of records, at O(1) per value plus O(channels) per level and call.

        Args:
            steps: Steps of the records, shape ``(n,)``: strictly increasing, after all steps
                recorded so far, not negative. Gaps are allowed.
            values: A row per record, shape ``(n, num_channels)``; kept as float32, so beyond
                3.4e38 they become infinite.

        Raises:
            ValueError: If the steps do not increase or a shape is wrong.
        """
        step = np.asarray(steps, dtype=np.int64)
        with np.errstate(over="ignore"):  # an infinity is to be seen
            value = np.asarray(values, dtype=np.float32)
        if step.ndim != 1 or value.shape != (len(step), self.num_channels):
            raise ValueError(f"values must be ({step.size}, {self.num_channels}), got {value.shape}")
        if not len(step):
            return
        if step[0] <= self.last_step or np.any(np.diff(step) <= 0):
            raise ValueError(f"steps must increase from {self.last_step}, got {step[0]} .. {step[-1]}")
        if self.last_step < 0:
            self.first_step = int(step[0])
        self.last_step = int(step[-1])
        block = Buckets(step, 1, value, value, value, np.ones_like(step))
        for level in self._levels:
            block = _coarsen(block, level.width)
            level.put(block)

    def tail(self, width: int, num_buckets: int, channels: Channels = ALL_CHANNELS) -> Buckets:
        """Return the last buckets of one width, the open one last: a sparkline's columns.

        Args:
            width: Steps per bucket, at least 1: a multiple of ``fanout ** l`` is read from level ``l``.
            num_buckets: Exactly so many are returned. Those from before the run (their first
                step may be negative), or no longer kept, have a count of 0.
            channels: Which channels, in which order.
        """
        source = self._level_dividing(width)
        end = self.last_step // width + 1
        numbers = np.arange(end - num_buckets, end)
        oldest = source.oldest(self.last_step)
        whole = (numbers * width >= oldest) | (self.first_step >= oldest)  # of others only a part is known
        known = self._read(source, numbers[whole], width, channels)
        return known if whole.all() else _padded(known, numbers * width, whole)

    def num_kept(self, width: int) -> int:
        """At least so many of the last buckets of ``width`` steps are kept."""
        return self.capacity * self._level_dividing(width).width // width

    def window(self, start: int, stop: int, max_points: int, channels: Channels = ALL_CHANNELS) -> Buckets:
        """Return steps ``start`` to ``stop - 1``, as fine as is kept, in at most ``max_points`` buckets.

        The width follows from what is asked for, not from what has been recorded, and buckets
        begin at multiples of it: a chart with a fixed range keeps its points from frame to
        frame. The outer buckets may reach beyond the range; steps before and after the run
        are left out. Costs O(``max_points``), whatever the length of the run.

        Raises:
            ValueError: If ``max_points`` is below 2.
        """
        if max_points < 2:
            raise ValueError(f"max_points must be >= 2, got {max_points}")
        # A stretch touches at most one aligned bucket more than its length divided by their width.
        wanted = max(1, -(-(stop - start - 1) // (max_points - 1)))
        oldest = self._levels[-1].oldest(self.last_step)
        start, stop = max(start, self.first_step, oldest), min(stop, self.last_step + 1)
        source = self._level_for(start, wanted)
        width = -(-wanted // source.width) * source.width
        end = (stop - 1) // width + 1 if start < stop else start // width
        return self._read(source, np.arange(start // width, end), width, channels)

    def _read(self, source: _Level, numbers: Int64s, width: int, channels: Channels) -> Buckets:
        """Buckets ``numbers`` (consecutive) of ``width`` steps, merged from those of ``source``."""
        per_bucket = width // source.width
        if per_bucket == 1:
            return source.take(numbers, channels)
        fine = source.take((numbers[:, None] * per_bucket + np.arange(per_bucket)).ravel(), channels)
        merged = _coarsen(fine.rows(fine.count > 0), width)
        result = _empty(numbers * width, width, fine.mean.shape[1])
        _assign(result, (merged.first_step - result.first_step[:1]) // width, merged)
        return result

    def _level_dividing(self, width: int) -> _Level:
        """The coarsest level whose buckets make up buckets of ``width`` steps."""
        return next(level for level in reversed(self._levels) if width % level.width == 0)

    def _level_for(self, start: int, width: int) -> _Level:
        """The coarsest level not coarser than ``width``; a coarser one where ``start`` demands it."""
        chosen = self._levels[0]
        for level in self._levels[1:]:
            if level.width > width and chosen.oldest(self.last_step) <= start:
                break
            chosen = level
        return chosen


class _Level:
    """One ring of buckets."""

    def __init__(self, num_channels: int, capacity: int, width: int) -> None:
        self.width = width
        self._capacity = capacity
        shape = (capacity, num_channels)
        low = np.empty(shape, dtype=np.float32)
        # A single step is its own min, max and mean.
        high, mean = (low, low) if width == 1 else (np.empty_like(low), np.empty_like(low))
        nothing = np.full(capacity, -1, dtype=np.int64)
        self._ring = Buckets(nothing, width, low, high, mean, np.zeros_like(nothing))

    def oldest(self, last_step: int) -> int:
        """First step that the ring can still hold once ``last_step`` is in it."""
        return (last_step // self.width - self._capacity + 1) * self.width

    def put(self, block: Buckets) -> None:
        """Store buckets of this level's width; the first may continue the one still open."""
        # Of more rows than there are slots, the first would only be written over.
        head, rest = (
            block.rows(slice(0, 1)),
            block.rows(slice(max(1, len(block.first_step) - self._capacity), None)),
        )
        held = self.take(head.first_step // self.width, ALL_CHANNELS)
        if held.count[0]:
            head = _coarsen(_join(held, head), self.width)
        for part in (head, rest):
            # Where a long block meets a slot twice, numpy keeps the last: the newer bucket.
            _assign(self._ring, part.first_step // self.width % self._capacity, part)

    def take(self, numbers: Int64s, channels: Channels) -> Buckets:
        """Buckets ``numbers``, read from their slots; NaN where the slot holds another one."""
        ring, slots, first_step = self._ring, numbers % self._capacity, numbers * self.width
        columns = channels if isinstance(channels, slice) else np.asarray(channels, dtype=np.intp)
        at = (slots, columns) if isinstance(columns, slice) else np.ix_(slots, columns)
        held = (ring.first_step[slots] == first_step) & (numbers >= 0)
        low, high, mean = (
            np.where(held[:, None], values[at], np.float32(np.nan))
            for values in (ring.min, ring.max, ring.mean)
        )
        return Buckets(first_step, self.width, low, high, mean, np.where(held, ring.count[slots], 0))


_FIRST = np.array([True])  # the first bucket of any is a new one


def _coarsen(fine: Buckets, width: int) -> Buckets:
    """Merge ascending, non-empty buckets into those of ``width`` steps."""
    if fine.steps_per_bucket == width and len(fine.first_step) < 2:
        return fine
    number = fine.first_step // width
    # By hand: numpy's diff takes twice as long, and this is asked for level by level.
    starts = np.flatnonzero(np.concatenate((_FIRST[: len(number)], number[1:] != number[:-1])))
    if len(starts) == len(number):  # nothing to merge
        return Buckets(number * width, width, fine.min, fine.max, fine.mean, fine.count)
    sizes = np.concatenate((starts[1:], (len(number),))) - starts
    count = np.add.reduceat(fine.count, starts)
    # Shares first, then the sum: a mean of large values must not overflow on its way.
    share = (fine.count / np.repeat(count, sizes)).astype(np.float32)[:, None]
    low, high, mean = fine.min[starts], fine.max[starts], fine.mean[starts] * share[starts]
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, as it should be
        # The n-th member of every group at once: 20 times as fast as ufunc.reduceat over rows.
        for nth in range(1, int(sizes.max())):
            for group, member in _members(starts, sizes, nth):
                low[group] = np.minimum(low[group], fine.min[member])
                high[group] = np.maximum(high[group], fine.max[member])
                mean[group] += fine.mean[member] * share[member]
    return Buckets(number[starts] * width, width, low, high, mean, count)


def _members(
    starts: Int64s, sizes: Int64s, nth: int
) -> Iterator[tuple[slice, slice] | tuple[Int64s, Int64s]]:
    """The groups of more than ``nth`` rows, and the ``nth`` row of each."""
    inner = sizes[1:-1]
    if len(inner) and (inner == inner[0]).all():
        # Of a run without gaps all groups but the outer ones are of one size: slices copy nothing.
        size = int(inner[0])
        if nth < size:
            yield slice(1, -1), slice(int(starts[1]) + nth, int(starts[-1]), size)
        groups = np.array([0, len(starts) - 1])
        groups = groups[sizes[groups] > nth]
    else:
        groups = np.flatnonzero(sizes > nth)
    yield groups, starts[groups] + nth


def _join(first: Buckets, second: Buckets) -> Buckets:
    return Buckets(
        np.concatenate((first.first_step, second.first_step)),
        first.steps_per_bucket,
        np.concatenate((first.min, second.min)),
        np.concatenate((first.max, second.max)),
        np.concatenate((first.mean, second.mean)),
        np.concatenate((first.count, second.count)),
    )


def _empty(first_step: Int64s, width: int, num_channels: int) -> Buckets:
    low, high, mean = np.full((3, len(first_step), num_channels), np.nan, dtype=np.float32)
    return Buckets(first_step, width, low, high, mean, np.zeros(len(first_step), dtype=np.int64))


def _padded(known: Buckets, first_step: Int64s, where: NDArray[np.bool_]) -> Buckets:
    """``known`` at the places ``where`` among buckets of which nothing is known."""
    result = _empty(first_step, known.steps_per_bucket, known.mean.shape[1])
    _assign(result, np.flatnonzero(where), known)
    return result


def _assign(target: Buckets, rows: Int64s, source: Buckets) -> None:
    target.first_step[rows] = source.first_step
    target.mean[rows] = source.mean
    if target.min is not target.mean:  # level 0 has one array under three names
        target.min[rows] = source.min
        target.max[rows] = source.max
    target.count[rows] = source.count


def _bytes_per_slot(num_channels: int, levels: int) -> int:
    """Bytes of one slot of every level: 4 per value, 16 for the bucket's number and count."""
    return 4 * num_channels * (3 * levels - 2) + 16 * levels
