"""A session as one screen sees it: it has its own reader, and while it is open a person can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vgrad.store.ancestry import with_ancestors

if TYPE_CHECKING:
    from pathlib import Path

    from vgrad.controls.controls import Command
    from vgrad.events.batch import Batch


class Trains(Protocol):
    """A session, or a run of several."""

    @property
    def exception(self) -> BaseException | None:
        """What ended the training, once it has failed."""

    def start(self) -> None:
        """Start training."""

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Ask for a command and return its id, which the answer carries."""

    def stop(self) -> None:
        """Ask for the end of the run."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until training has ended; True once it has."""


class Reads(Protocol):
    """A reader of what happens in it."""

    def take(self) -> Batch:
        """Everything that happened since the last call."""

    def close(self) -> None:
        """Read no more."""


class AttachedScreen:
    """What a screen reads and steers a session by. Made by `Session.attach`.

    While it is open, the engine assumes that a person can answer, and pauses a run that is lost.

    Args:
        session: The session, or the run of several.
        cursor: The screen's own cursor.
    """

    def __init__(self, session: Trains, cursor: Reads) -> None:
        self._session = session
        self._cursor = cursor

    @property
    def exception(self) -> BaseException | None:
        """What ended the training, once it has failed."""
        return self._session.exception

    @property
    def log(self) -> Path | None:
        """Nowhere: what this process prints goes where it goes."""
        return None

    @property
    def outlives_screen(self) -> bool:
        """The session trains in this very process, and ends with it."""
        return False

    @property
    def stop_signal(self) -> None:
        """None: a session knows how to stop."""
        return None

    def start(self) -> None:
        """Start training."""
        self._session.start()

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Ask for a command and return its id, which the answer carries."""
        return self._session.submit(command, command_id=command_id)

    def drain(self) -> Batch:
        """Take everything that happened since the last drain."""
        return with_ancestors(self._cursor.take())

    def close(self) -> None:
        """Leave. Training goes on."""
        self._cursor.close()

    def stop(self) -> None:
        """Ask for the end of the run."""
        self._session.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until training has ended; True once it has."""
        return self._session.join(timeout)
