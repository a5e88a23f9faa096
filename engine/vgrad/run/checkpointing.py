"""When a run saves its state: by time, before commands that change weights, when asked, and at its end."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vgrad.controls.controls import Reinit, Set, UndoReinit, reduce
from vgrad.controls.topics import changes_training
from vgrad.errors import ConfigError
from vgrad.events.notices import CheckpointFailed, CheckpointSaved, CommandApplied
from vgrad.store.checkpoints import Checkpoint, CheckpointWriter, Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.controls.controls import Command
    from vgrad.events.hub import Hub
    from vgrad.store.folder import RunFolder
    from vgrad.train.trainer import Trainer

EVERY_S = 60.0
# Capturing copies the whole state while training waits: it may take one part in so many of the time.
_SHARE = 200
_NO_FOLDER = "this run is not recorded, so there is no folder for a checkpoint"


class Checkpointing:
    """Captures a trainer's state at safe points, and has it written. Belongs to the thread that trains.

    Args:
        folder: The run's folder; None where nothing is recorded, and so nothing saved.
        hub: Each checkpoint is reported to it.
        every_s: Seconds between two automatic ones; more where capturing takes long.
        now_s: Clock in seconds.

    Attributes:
        num_commands: Commands that have been applied and change how training goes on.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        hub: Hub,
        *,
        every_s: float = EVERY_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.num_commands = 0
        self._hub = hub
        self._every_s = every_s
        self._now_s = now_s
        self._next_s = now_s() + every_s
        self._place: tuple[int, int] | None = None  # of the last one: the step, and the commands up to it
        self._failure: str | None = None
        self._writer: CheckpointWriter | None = None
        if folder is not None:
            self._writer = CheckpointWriter(folder, on_saved=self._saved, on_failed=self._failed)

    def look(self, trainer: Trainer) -> None:
        """Between two steps: save if it is time to, and as soon as the disk has taken the last one."""
        if self._writer is None or self._now_s() < self._next_s or self._writer.is_busy:
            return
        self._next_s = self._now_s() + self._every_s
        self.save(trainer, "time")

    def before(self, trainer: Trainer, command: Command) -> None:
        """Save before a command that gives the run other weights, if the run can carry it out."""
        from vgrad.train.capabilities import STRUCTURE

        match command:
            case Reinit() | UndoReinit():
                pass
            case Set(control=name) if name in STRUCTURE:
                pass
            case _:
                return
        with suppress(ConfigError):  # it will be refused
            reduce(trainer.controls, command, trainer.info().capabilities)
            self.save(trainer, "command")

    def answered(self, answer: object) -> None:
        """Count a command that was applied."""
        self.num_commands += isinstance(answer, CommandApplied) and changes_training(answer.command)

    def save(self, trainer: Trainer, reason: str) -> str | None:
        """Capture the state and have it written; of one and the same moment only once.

        Returns:
            Why the state cannot be captured, or None.
        """
        if self._writer is None:
            return _NO_FOLDER
        place = trainer.step, self.num_commands
        if place == self._place:
            return None
        begin_s = self._now_s()
        try:
            state = trainer.capture()
        except ConfigError as error:
            if self._failure is None:  # it will not be otherwise the next time
                self._failure = str(error)
                self._failed(trainer.step, self._failure)
            return self._failure
        took_s = self._now_s() - begin_s
        self._next_s = self._now_s() + max(self._every_s, took_s * _SHARE)
        self._place = place
        self._writer.put(state, num_commands=self.num_commands, reason=reason)
        return None

    def flush(self) -> None:
        """Wait until everything captured so far is written."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Wait until all is written, and save nothing more."""
        if self._writer is not None:
            self._writer.close()

    def _saved(self, checkpoint: Checkpoint, kept: Kept) -> None:
        size = checkpoint.num_bytes()
        limit = int(kept.max_bytes) if math.isfinite(kept.max_bytes) else None
        saved = CheckpointSaved(
            checkpoint.step,
            checkpoint.reason,
            num_bytes=size,
            kept_bytes=kept.num_bytes,
            kept_steps=kept.steps,
            max_bytes=limit,
            num_dropped=kept.num_dropped,
        )
        self._hub.notify(saved)

    def _failed(self, step: int, reason: str) -> None:
        self._hub.notify(CheckpointFailed(step, reason))
