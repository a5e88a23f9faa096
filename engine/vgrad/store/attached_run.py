"""A run in another process, or one that has ended, as a screen sees it: read from its folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from vgrad.controls.controls import Stop
from vgrad.events.batch import Batch
from vgrad.store import inbox
from vgrad.store.layer_levels import NUM_LEVELS
from vgrad.store.reader import RunReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vgrad.controls.controls import Command
    from vgrad.events.step_block import StepBlock
    from vgrad.store.folder import RunFolder

_LOOK_S = 0.05
_OLD_ROWS = 512  # steps of the old past that come with their norms per layer: more than a screen has columns


class AttachedRun:
    """Reads and steers a run by its folder. Leaving it leaves the run alone.

    It has the methods of a session that a screen uses; no method waits but `join`.

    Args:
        folder: The run's folder.

    Raises:
        DataError: If the folder holds no record that can be read.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._reader = RunReader(folder)
        self._is_first = True

    @property
    def exception(self) -> BaseException | None:
        """What ended the run is known to its own process alone; the record has its words."""
        return None

    @property
    def outlives_screen(self) -> bool:
        """A process of its own trains it."""
        return True

    @property
    def is_alive(self) -> bool:
        """Whether a process trains it now."""
        return self.folder.pid() is not None

    def start(self) -> None:
        """It runs, or has run, already."""

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Ask for a command and return its id, which the answer carries.

        Raises:
            DataError: If the folder cannot be written.
        """
        return inbox.send(self.folder.inbox, command, command_id=command_id)

    def drain(self) -> Batch:
        """Take everything that was recorded since the last drain: at first, the whole history."""
        if self._is_first:
            self._is_first = False
            return self._whole_history()
        return self._reader.take(with_layers=True)

    def close(self) -> None:
        """Leave. The run goes on."""
        self._reader.close()

    def stop(self) -> None:
        """Ask for the end of the run."""
        if self.is_alive:
            self.submit(Stop())

    def join(self, timeout: float | None = None) -> bool:
        """Wait until no process trains it any more; True once that is so."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_alive:
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(_LOOK_S)
        return True

    def _whole_history(self) -> Batch:
        """All that is recorded: norms per layer of the recent past, and of some steps of the old past."""
        recent = self._reader.take(with_layers=True)
        blocks: list[StepBlock] = []
        for part in self._reader.parts():
            first = min((int(b.step[0]) for b in recent.blocks if b.part == part), default=2**62)
            old = [block[block.step < first] for block in self._reader.steps(part)]
            layered = list(self._old_layers(part, first))
            for block in old:
                if len(block):
                    blocks += _with_some_layers(block, layered)
        return Batch((*blocks, *recent.blocks), recent.notices, recent.snapshots)

    def _old_layers(self, part: int, before: int) -> Iterator[StepBlock]:
        """Some old steps with their norms per layer, one a block, in order."""
        rows: dict[int, StepBlock] = {}
        for level in range(NUM_LEVELS - 1, 0, -1):
            for block in self._reader.layers(part, level):
                kept = block[block.step < before]
                rows.update({int(step): kept[row : row + 1] for row, step in enumerate(kept.step)})
        steps = sorted(rows)
        every = max(1, len(steps) // _OLD_ROWS)
        return (rows[step] for step in steps[::every])


def _with_some_layers(block: StepBlock, layered: Sequence[StepBlock]) -> list[StepBlock]:
    """``block``, which has no norms per layer, with those steps replaced that are known with theirs."""
    first, last = int(block.step[0]), int(block.step[-1])
    pieces: list[StepBlock] = []
    start = 0
    for row in layered:
        step = int(row.step[0])
        if not first <= step <= last:
            continue
        place = int(np.searchsorted(block.step, step))
        if block.step[place] != step:
            continue
        if place > start:
            pieces.append(block[start:place])
        pieces.append(row)
        start = place + 1
    if start < len(block):
        pieces.append(block[start:])
    return pieces
