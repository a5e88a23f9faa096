"""A run in another process, or one that has ended, as a screen sees it: read from its folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vgrad.controls.controls import Stop
from vgrad.store import inbox
from vgrad.store.reader import RunReader

if TYPE_CHECKING:
    from vgrad.controls.controls import Command
    from vgrad.events.batch import Batch
    from vgrad.store.folder import RunFolder

_LOOK_S = 0.05


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
            return self._reader.overview()
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
