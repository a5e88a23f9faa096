"""What is recorded of a run that decides how it went: enough to run it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from vgrad.controls.topics import changes_training
from vgrad.errors import DataError, VgradError
from vgrad.events.notices import CommandApplied, RunStarted
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.events.run_info import Parent, RunInfo


class Place(NamedTuple):
    """A moment in the course of a run, between two optimizer steps.

    Attributes:
        step: Optimizer steps done.
        num_commands: Commands applied that change how training goes on.
    """

    step: int
    num_commands: int


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """The course of a run as it is recorded.

    Attributes:
        info: What the run is.
        commands: The applied commands that change how training goes on, oldest first.
        steps: Numbers of all recorded steps, int64 of shape ``(n,)``, increasing.
        losses: Their training losses, float64 of shape ``(n,)``; meaningless where not known.
        losses_known: Whether each is known, bool of shape ``(n,)``.
    """

    info: RunInfo
    commands: tuple[CommandApplied, ...]
    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    losses_known: NDArray[np.bool_]

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """Read the record of a run, alive or ended.

        Raises:
            DataError: If there is none, it is damaged, or the run ended before it had begun.
        """
        with RunReader(folder) as reader:
            notices = [notice for notice in reader.take().notices if notice.part == 0]
            blocks = list(reader.steps(0))
        infos = [notice.body.info for notice in notices if isinstance(notice.body, RunStarted)]
        if not infos:
            raise DataError(f"the run {folder.name!r} ended before its first step")
        # A command without an id is none that somebody gave: it is what happened by itself, and will again.
        commands = [
            notice.body
            for notice in notices
            if isinstance(notice.body, CommandApplied)
            and notice.command_id is not None
            and changes_training(notice.body.command)
        ]
        return cls(
            infos[0],
            tuple(commands),
            np.concatenate([np.empty(0, np.int64), *(block.step for block in blocks)]),
            np.concatenate([np.empty(0), *(block.loss for block in blocks)]),
            np.concatenate([np.empty(0, np.bool_), *(block.loss_known for block in blocks)]),
        )

    @property
    def first(self) -> Place:
        """Where it began: after as many steps as it has in common with the run that it goes on from."""
        return Place(0 if self.info.parent is None else self.info.parent.step, 0)

    @property
    def last(self) -> Place:
        """Where its record ends."""
        step = int(self.steps[-1]) if len(self.steps) else self.first.step
        return Place(step, self._num_commands_until(step + 1))

    def place_after(self, step: int) -> Place:
        """The moment after a step, before the commands that were given then."""
        return Place(step, max(self._num_commands_until(step), self.first.num_commands))

    def loss_of(self, step: int) -> float | None:
        """The recorded loss of a step; None where it is not recorded, or not known."""
        row = int(np.searchsorted(self.steps, step))
        if row == len(self.steps) or self.steps[row] != step or not self.losses_known[row]:
            return None
        return float(self.losses[row])

    def _num_commands_until(self, step: int) -> int:
        return sum(applied.step <= step for applied in self.commands)


def first_loss(parent: Parent) -> float | None:
    """Training loss of the first step of the course that ``parent`` is a moment of.

    Found in the record of that run, or of those that it goes on from; None where it is not known, or no
    longer there.
    """
    origin: Parent | None = parent
    seen: set[str] = set()
    loss = None
    while origin is not None and origin.run not in seen:
        seen.add(origin.run)
        try:
            record = RunRecord.read(RunFolder.find(origin.run))
        except VgradError:
            return None
        loss, origin = record.loss_of(1), record.info.parent
    return loss
