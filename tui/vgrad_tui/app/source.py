"""Where the screen's news comes from: the same batches from each kind of run."""

from __future__ import annotations

from typing import Protocol

from vgrad.controls.controls import Command
from vgrad.events.batch import Batch


class Source(Protocol):
    """A run that can be watched and steered. `vgrad.Session` is one.

    No method waits but `join`.
    """

    def start(self) -> None:
        """Begin; news come out of `drain` from then on."""

    def submit(self, command: Command) -> None:
        """Ask for a command; its answer comes as a notice."""

    def drain(self) -> Batch:
        """Take everything that happened since the last drain."""

    def stop(self) -> None:
        """Ask for the end."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; True once it has."""
