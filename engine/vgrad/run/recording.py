"""A run that is recorded into a folder, and takes the commands that others send there."""

from __future__ import annotations

import logging
import platform
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError, VgradError
from vgrad.events.notices import RecordingChanged
from vgrad.store.folder import RunFolder
from vgrad.store.move_from_local import move_home
from vgrad.store.pointer import pointed_from
from vgrad.store.recorder import Recorder
from vgrad.store.size_limit import make_room
from vgrad.watching import at_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vgrad.events.hub import Cursor
    from vgrad.run.session import Session
    from vgrad.store.inbox import SentCommand
    from vgrad.watching.watch import Watch


_log = logging.getLogger("vgrad")


class Recording:
    """The recording of one run. Whatever goes wrong with it, training goes on.

    Args:
        cursor: Opens a reader of the run's stream.
        on_command: Called in the recorder's thread with every command that somebody sent.
        title: What the run is called; its folder is named after it.
        folder: The run's folder; a new one unless given.
        on_problem: Called there with the reason why nothing is recorded, in words, and with None when
            recording goes on.
        on_look: Called there, too, several times a second.

    Attributes:
        folder: The run's folder, or None where none can be made.
        place: In words where it is kept until it ends, where that is not in the folder of all runs.
    """

    def __init__(
        self,
        cursor: Callable[[], Cursor],
        on_command: Callable[[SentCommand], None],
        title: str,
        *,
        folder: RunFolder | None = None,
        on_problem: Callable[[str | None], None] | None = None,
        on_look: Callable[[], None] | None = None,
    ) -> None:
        self.folder: RunFolder | None = None
        self.place: str | None = None
        try:
            folder = folder or RunFolder.create(title)
            folder.lock()
        except (OSError, VgradError) as error:
            if on_problem is not None:
                on_problem(str(error))
            return
        self.folder = folder
        at_home = pointed_from(folder.path)
        if at_home is not None:
            self.place = f"{folder.path} on {platform.node()}, until it ends; then in {at_home}"
        self._recorder = Recorder(
            cursor, folder, on_command=on_command, on_problem=on_problem, on_look=on_look
        )
        self._recorder.start()

    def close(self) -> None:
        """Write what is still to be written; the run counts as ended, and its folder may be another one."""
        if self.folder is None:
            return
        try:
            self._recorder.close()
        finally:
            try:
                self.folder = move_home(self.folder)
            except OSError as error:
                _log.warning("the run stays in %s until it can be moved: %s", self.folder.path, error)


@contextmanager
def recorded(
    session: Session,
    title: str,
    *,
    folder: RunFolder | None = None,
    on_problem: Callable[[str | None], None] | None = None,
) -> Iterator[RunFolder | None]:
    """Record ``session`` until the block ends; start it within. The arguments are those of `Recording`.

    Every reader of the session learns from a notice where nothing is recorded any more.

    Yields:
        The run's folder, or None where none can be made.
    """

    def tell(problem: str | None) -> None:
        session.recording_changed(problem)
        if on_problem is not None:
            on_problem(problem)

    def take(sent: SentCommand) -> None:
        if sent.command is not None:
            session.submit(sent.command, command_id=sent.command_id, sender=sent.sender)

    recording = Recording(session.cursor, take, title, folder=folder, on_problem=tell)
    session.folder = recording.folder
    if recording.place is not None:
        session.recording_changed(None, place=recording.place)
    try:
        yield recording.folder
    finally:
        recording.close()


def record_watch(
    watch: Watch,
    *,
    folder: RunFolder | None = None,
    on_problem: Callable[[str | None], None] | None = None,
) -> Recording:
    """Record a watched loop until its watch is closed. The arguments are those of `Recording`.

    A new folder is made room for, see `vgrad.store.size_limit`; the log says which runs are removed.
    """
    if folder is None:
        _make_room()

    known = weakref.ref(watch)  # the recorder's thread must not hold the model of a watch that was dropped

    def take(sent: SentCommand) -> None:
        watch = known()
        if sent.command is not None and watch is not None:
            watch.submit(sent.command, command_id=sent.command_id, sender=sent.sender)

    def tell(problem: str | None) -> None:
        watch = known()
        if watch is not None:
            watch.notify(RecordingChanged(problem))
        if on_problem is not None:
            on_problem(problem)

    hub = watch.hub
    recording = Recording(
        hub.cursor, take, watch.name, folder=folder, on_problem=tell, on_look=_close_dropped
    )
    watch.on_close(_CloseIfDropped(watch).forget)
    if recording.place is not None:
        watch.notify(RecordingChanged(None, recording.place))
        _log.warning("the run is kept in %s", recording.place)
    watch.on_close(recording.close)
    return recording


class _CloseIfDropped:
    """Has a watch closed that a script drops without closing it. The watch and this hold each other alone."""

    def __init__(self, watch: Watch) -> None:
        self._watch: Watch | None = watch

    def forget(self) -> None:
        """It has been closed."""
        self._watch = None

    def __del__(self) -> None:
        if self._watch is not None:
            at_exit.drop(self._watch)


def _close_dropped() -> None:
    """In another thread: the recorder, whose thread asks, has to write what is reported at the end."""
    if at_exit.has_dropped():
        with suppress(RuntimeError):  # Python exits, and closes them itself
            threading.Thread(target=at_exit.close_dropped, name="vgrad-close").start()


def _make_room() -> None:
    try:
        for removed in make_room():
            _log.warning("%s", removed)
    except ConfigError as error:  # the loop is somebody's, and is not to fail for it
        _log.warning("no old run is removed: %s", error)


def warn(problem: str | None) -> None:
    """Log why nothing is recorded, or, for None, that recording goes on."""
    if problem is None:
        _log.warning("recording goes on")
    else:
        _log.warning("not recorded: %s", problem)
