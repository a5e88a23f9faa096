"""A session that is recorded into a folder, and takes the commands that others send there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from vgrad.store.folder import RunFolder
from vgrad.store.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vgrad.run.session import Session
    from vgrad.store.inbox import SentCommand


@contextmanager
def recorded(
    session: Session,
    title: str,
    *,
    folder: RunFolder | None = None,
    on_problem: Callable[[str | None], None] | None = None,
) -> Iterator[RunFolder | None]:
    """Record ``session`` until the block ends; start it within. Whatever goes wrong, training goes on.

    Args:
        session: A session that has not been started.
        title: What the run is called; its folder is named after it.
        folder: The run's folder; a new one unless given.
        on_problem: Is told in words why nothing is recorded, and None when recording goes on. It is
            called from the recorder's thread.

    Yields:
        The run's folder, or None where none can be made.
    """
    try:
        folder = folder or RunFolder.create(title)
        folder.lock()
    except OSError as error:
        if on_problem is not None:
            on_problem(f"no folder can be made: {error}")
        yield None
        return

    def take(sent: SentCommand) -> None:
        if sent.command is not None:
            session.submit(sent.command, command_id=sent.command_id, sender=sent.sender)

    session.folder = folder
    try:
        with Recorder(session.cursor, folder, on_command=take, on_problem=on_problem):
            yield folder
    finally:
        folder.unlock()
