"""What the screen needs of a run: the same batches from each kind of run, and a way to steer it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Protocol

from vgrad.controls.controls import Command
from vgrad.events.batch import Batch


class Source(Protocol):
    """A run that can be watched and steered, as one screen sees it: `vgrad.Session.attach` gives one.

    No method waits but `join`.
    """

    @property
    def exception(self) -> BaseException | None:
        """What ended the run, once it has failed; None where it has not, or is not known."""

    @property
    def log(self) -> Path | None:
        """The file that its process prints into; None where there is none."""

    @property
    def outlives_screen(self) -> bool:
        """Whether the run goes on when this program ends: a process of its own trains it."""

    @property
    def stop_signal(self) -> signal.Signals | None:
        """The signal by which `stop` ends the run; None where the run is asked to end after its step."""

    def start(self) -> None:
        """Begin; `drain` returns batches from then on."""

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Ask for a command and return its id; its answer comes as a notice with that id."""

    def drain(self) -> Batch:
        """Take everything that happened since the last drain."""

    def close(self) -> None:
        """Leave: nothing more is read. The run goes on."""

    def stop(self) -> None:
        """Ask for the end of the run."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; True once it has."""
