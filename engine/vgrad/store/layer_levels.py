"""Which steps keep their norms per layer, so that a run of any length fits into a budget of bytes.

    level 0    every step            of the recent past
    level 1    every 16th step       of a past 16 times as long
    level 2    every 256th step      and so on

Each level keeps as many rows as every other, and drops its oldest. Losses, rates, joint norms, commands and
verdicts are kept in full, whatever their number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vgrad.events.step_block import StepBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FANOUT = 16
NUM_LEVELS = 6  # the last reaches back 16**5 times as far as the first
BYTES = 96 * 2**20
_FEWEST_ROWS = 256
# Of a coarse level: a chunk of one row would be mostly header. While rows wait, their steps are read from the
# finer level, of which a reader takes FANOUT times as many rows (`ROWS_PER_LEVEL`): no stretch is missing.
_ROWS_PER_CHUNK = 32


class LayerLevels:
    """Sorts the steps of one part into levels, and says which chunks are no longer wanted.

    Args:
        num_layers: Norms per step.
        max_bytes: Bytes of all levels together, before compression.
    """

    def __init__(self, num_layers: int, max_bytes: int = BYTES) -> None:
        self.rows_per_level = max(_FEWEST_ROWS, max_bytes // (4 * max(1, num_layers) * NUM_LEVELS))
        self._waiting: list[list[StepBlock]] = [[] for _ in range(NUM_LEVELS)]
        self._kept: list[deque[tuple[int, int]]] = [deque() for _ in range(NUM_LEVELS)]
        self._num_kept = [0] * NUM_LEVELS

    def sort(
        self, block: StepBlock, *, after: Sequence[int] | None = None, flush: bool = False
    ) -> Iterator[tuple[int, StepBlock]]:
        """Yield the chunks that are to be written now, each with its level.

        Args:
            block: New steps, after all those before.
            after: For each level the last step that it has already, where ``block`` was sorted before.
            flush: Write coarse rows, too, that would otherwise wait for more.
        """
        for level in range(NUM_LEVELS):
            rows = block if level == 0 else block[block.step % FANOUT**level == 0]
            if after is not None:
                rows = rows[rows.step > after[level]]
            waiting = self._waiting[level]
            if len(rows):
                if waiting and waiting[-1].kind != rows.kind:
                    yield level, _joined(waiting)
                waiting.append(rows)
            if waiting and (level == 0 or flush or sum(map(len, waiting)) >= _ROWS_PER_CHUNK):
                yield level, _joined(waiting)

    def flush(self) -> Iterator[tuple[int, StepBlock]]:
        """Yield the coarse rows that have waited for more."""
        for level, waiting in enumerate(self._waiting):
            if waiting:
                yield level, _joined(waiting)

    def written(self, level: int, number: int, num_rows: int) -> list[int]:
        """Take note of a written chunk, and return the numbers of the chunks to delete for it."""
        kept = self._kept[level]
        kept.append((number, num_rows))
        self._num_kept[level] += num_rows
        dropped = []
        while self._num_kept[level] - kept[0][1] >= self.rows_per_level:
            oldest, rows = kept.popleft()
            self._num_kept[level] -= rows
            dropped.append(oldest)
        return dropped


def _joined(waiting: list[StepBlock]) -> StepBlock:
    joined = StepBlock.concatenate(waiting)
    waiting.clear()
    return joined
