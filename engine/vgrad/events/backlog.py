"""The steps that readers have yet to take, in bounded memory: all of the recent past, fewer of the old."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from vgrad.events.step_block import StepBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]

# What the twenty arrays of a block take beside their numbers.
_BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A block, and the number of each of its steps among all steps that were ever put."""

    numbers: Int64s
    block: StepBlock

    @property
    def nbytes(self) -> int:
        return _BLOCK_BYTES + self.numbers.nbytes + self.block.nbytes

    def rows(self, which: slice) -> _Entry:
        return _Entry(self.numbers[which], self.block[which])


class Backlog:
    """A run's steps for any number of readers; a reader is no more than a position in it.

    When the memory is used up, every second step of the older half is dropped. What is already
    thinned is thinned again, so that the steps that are left are the further apart the older they are.

    Args:
        max_bytes: Memory that the steps may take. The newest step of each part is always kept.

    Attributes:
        num_put: Steps that were ever put: the position of a reader that has taken everything.
    """

    def __init__(self, max_bytes: int) -> None:
        self.num_put = 0
        self._max_bytes = max_bytes
        self._entries: list[_Entry] = []
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the steps take."""
        return self._nbytes

    def put(self, block: StepBlock) -> None:
        """Add steps that follow all those of their part."""
        numbers = np.arange(self.num_put, self.num_put + len(block), dtype=np.int64)
        self.num_put += len(block)
        self._append(_Entry(numbers, block))
        while self._nbytes > self._max_bytes and self._thin():
            pass

    def after(self, position: int) -> tuple[StepBlock, ...]:
        """The steps that were put after the first ``position`` ones, as far as they are kept."""
        found = []
        for entry in self._entries:
            if entry.numbers[-1] >= position:
                begin = int(np.searchsorted(entry.numbers, position))
                found.append(entry.block[begin:] if begin else entry.block)
        return tuple(found)

    def _append(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._nbytes += entry.nbytes

    def _thin(self) -> bool:
        """Drop every second step of the older half, or of all if that brings nothing; False: of none."""
        for target in (self._nbytes // 2, self._nbytes):
            size = end = 0
            while size < target:
                size += self._entries[end].nbytes
                end += 1
            old, new = self._entries[:end], self._entries[end:]
            before = self._nbytes
            self._entries, self._nbytes = [], 0
            for entry in [*_thinned(old), *new]:
                self._append(entry)
            if self._nbytes < before:
                return True
        return False


def _thinned(entries: list[_Entry]) -> list[_Entry]:
    """The newest step of each part, and every second one before it, in as few blocks as can be."""
    result: list[_Entry] = []
    for part in sorted({entry.block.part for entry in entries}):
        joined = [
            _join(list(group))
            for _, group in groupby(
                (entry for entry in entries if entry.block.part == part), key=lambda entry: entry.block.kind
            )
        ]
        skip = 0  # rows to leave out before the next one that is kept, seen from the end
        kept: list[_Entry] = []
        for entry in reversed(joined):
            rows = entry.rows(slice(None, None, -1)).rows(slice(skip, None, 2)).rows(slice(None, None, -1))
            skip = (skip - len(entry.numbers)) % 2
            if len(rows.numbers):
                kept.append(rows)
        result += reversed(kept)
    return [_compact(entry) for entry in result]


def _join(entries: list[_Entry]) -> _Entry:
    return _Entry(
        np.concatenate([entry.numbers for entry in entries]),
        StepBlock.concatenate([entry.block for entry in entries]),
    )


def _compact(entry: _Entry) -> _Entry:
    """``entry`` with arrays of its own, for a view keeps all of its base in memory."""
    return _Entry(entry.numbers.copy(), entry.block.copy())
