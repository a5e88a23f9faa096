"""Norms per layer of a run of any length fit into a budget; the recent past is kept in full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.engine.store.test_columns import example

from vgrad.events.step_block import StepBlock
from vgrad.store.layer_levels import FANOUT, NUM_LEVELS, LayerLevels


class Kept:
    """The chunks that are left when all that is not wanted has been deleted."""

    def __init__(self, levels: LayerLevels) -> None:
        self._levels = levels
        self._number = 0
        self.chunks: dict[int, tuple[int, StepBlock]] = {}

    def take(self, chunks: Iterator[tuple[int, StepBlock]]) -> None:
        for level, chunk in chunks:
            self._number += 1
            self.chunks[self._number] = (level, chunk)
            for dropped in self._levels.written(level, self._number, len(chunk)):
                del self.chunks[dropped]

    def steps(self, level: int) -> list[int]:
        return [int(step) for at, chunk in self.chunks.values() if at == level for step in chunk.step]


def stretch(first: int, last: int, *, part: int = 0) -> StepBlock:
    block = example(last - first + 1)
    return replace(block, part=part, step=block.step + (first - 1))


@pytest.fixture
def kept() -> Kept:
    levels = LayerLevels(3, max_bytes=1)  # the fewest rows that it keeps
    return Kept(levels)


def test_recent_steps_are_all_there_and_old_ones_thinned(kept: Kept) -> None:
    last = 20_000
    for first in range(1, last, 500):
        kept.take(kept._levels.sort(stretch(first, first + 499)))
    kept.take(kept._levels.flush())
    rows = kept._levels.rows_per_level
    assert kept.steps(0)[-rows:] == list(range(last - rows + 1, last + 1))
    for level in range(1, NUM_LEVELS):
        every = FANOUT**level
        steps = kept.steps(level)
        expected = list(range(every, last + 1, every))
        assert steps[-rows:] == expected[-rows:]
        assert len(steps) <= rows + 500


def test_memory_does_not_grow_with_the_run(kept: Kept) -> None:
    sizes = []
    for first in range(1, 30_000, 300):
        kept.take(kept._levels.sort(stretch(first, first + 299)))
        sizes.append(sum(len(chunk) for _, chunk in kept.chunks.values()))
    assert max(sizes) <= NUM_LEVELS * (kept._levels.rows_per_level + 300)


def test_a_changed_chain_begins_a_new_chunk(kept: Kept) -> None:
    kept.take(kept._levels.sort(stretch(1, 100)))
    kept.take(kept._levels.sort(stretch(101, 200, part=1)))
    kept.take(kept._levels.flush())
    assert kept.steps(1) == [16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192]
