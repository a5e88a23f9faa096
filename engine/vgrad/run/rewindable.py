"""A run that can be rewound: one session after another, each recorded into a folder of its own.

A rewound session ends, and a new one goes on from the earlier step. Whoever reads or steers the run does not
see the seam: cursors and commands go on to the new session.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from vgrad.controls.controls import Pause
from vgrad.errors import ConfigError
from vgrad.events.run_info import Parent
from vgrad.run.attached_screen import AttachedScreen
from vgrad.run.recording import recorded
from vgrad.run.session import Session
from vgrad.store.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.controls.controls import Command
    from vgrad.events.batch import Batch
    from vgrad.events.hub import Cursor
    from vgrad.train.trainer import Trainer


class RewindableRun:
    """Trains a session, and those that go on from it where it is rewound. A context manager that records.

    Args:
        session: The first session, not yet started.
        title: What the run is called; its folders are named after it.
        record: Whether it is recorded; what is not recorded cannot be rewound.
        folder: Folder of the first session; a new one unless given.
        on_problem: Called with the reason why nothing is recorded, in words, and with None when
            recording goes on.

    Attributes:
        folder: Folder of the newest session; None where it has none.
    """

    def __init__(
        self,
        session: Session,
        title: str,
        *,
        record: bool = True,
        folder: RunFolder | None = None,
        on_problem: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        self.folder = folder
        self._session = session
        self._title = title
        self._records = record
        self._keeps_refused = folder is not None  # whoever made that folder looks there for the reason
        self._on_problem = on_problem
        self._lock = threading.Lock()
        self._is_stopping = False
        self._followers: WeakSet[FollowingCursor] = WeakSet()
        self._next_folder: RunFolder | None = None  # of the session that goes on from a rewound one
        self._recording = ExitStack()
        self._thread = threading.Thread(target=self._run, name="vgrad-segments", daemon=True)

    def __enter__(self) -> Self:
        self._record()
        return self

    def __exit__(self, *_: object) -> None:
        self._recording.close()

    @property
    def session(self) -> Session:
        """The newest session."""
        with self._lock:
            return self._session

    @property
    def exception(self) -> BaseException | None:
        """What ended the training, once it has failed."""
        return self.session.exception

    def start(self) -> None:
        """Start training."""
        self._thread.start()

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Ask the newest session for a command; see `Session.submit`."""
        return self.session.submit(command, command_id=command_id)

    def cursor(self, *, attended: bool = False) -> FollowingCursor:
        """A reader from the start of the newest session on, and of all that follow."""
        with self._lock:
            cursor = FollowingCursor(self._session, attended=attended)
            self._followers.add(cursor)
        return cursor

    def attach(self) -> AttachedScreen:
        """The run as a screen sees it; see `Session.attach`."""
        return AttachedScreen(self, self.cursor(attended=True))

    def stop(self) -> None:
        """Ask for the end at the next safe point."""
        with self._lock:
            self._is_stopping = True
            self._session.stop()

    def leave(self) -> None:
        """Report and record that it was stopped, if it has not ended; see `Session.leave`."""
        self.session.leave()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until training has ended; True once it has. False before it was started."""
        if self._thread.ident is None:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            session = self.session
            session.start()
            session.join()
            self._recording.close()
            if self.folder is not None:
                self.folder = self.folder.settled()
            if session.was_refused and not self._keeps_refused:
                self._remove_folder()
            if not self._go_on_from(session):
                return
            self._keeps_refused = True  # the run before has its name as that of its successor
            self._record()

    def _remove_folder(self) -> None:
        """Leave no run behind where the settings made no sense: none has begun, and the error says why."""
        if self.folder is not None:
            with suppress(OSError, ConfigError):
                self.folder.remove()
            self.folder = None

    def _record(self) -> None:
        """Enter the folder of the newest session."""
        if self._records:
            self._session.prepare_rewind = self._make_next_folder
            recording = recorded(self._session, self._title, folder=self.folder, on_problem=self._on_problem)
            self.folder = self._recording.enter_context(recording)

    def _make_next_folder(self) -> None:
        """Make the folder that the run goes on in, before the session ends that is being rewound.

        Raises:
            ConfigError, OSError: If it cannot be made.
        """
        assert self.folder is not None  # else the session has refused
        following = RunFolder.create(self._title)
        try:
            if self.folder.log.exists():  # the process goes on printing there
                os.link(self.folder.log, following.log)
            self.folder.set_successor(following)
        except OSError:
            following.remove()
            raise
        self._next_folder = following

    def _go_on_from(self, session: Session) -> bool:
        """Make the session that goes on from one that was rewound; False where none does.

        Where it cannot go on after all, that session fails at once, and says why to every reader.
        """
        step, folder, following = session.rewound_to, self.folder, self._next_folder
        self._next_folder = None
        if step is None or folder is None or following is None:
            return False

        def prepare(say: Callable[[str], None]) -> Trainer:
            from vgrad.run.resume import Resumption

            return Resumption.of(folder, at=step).prepare(say)

        with self._lock:
            if session.exception is None and not self._is_stopping:
                self._session = Session(prepare, parent=Parent(folder.name, step))
                self.folder = following
                for follower in self._followers:
                    follower.follow(self._session)
                if session.was_paused:
                    self._session.submit(Pause())
                return True
        following.remove()
        return False


class FollowingCursor:
    """A reader of a run that goes on where the run is rewound. Use it from one thread.

    A batch is never of two sessions, and none is empty while a later session is still to be read.

    Args:
        session: The first session that is read.
        attended: Whether somebody sits there who can answer.
    """

    def __init__(self, session: Session, *, attended: bool) -> None:
        self._attended = attended
        self._is_closed = False
        self._cursors: deque[Cursor] = deque()  # of the session that is read, and of those that follow
        self.follow(session)

    def follow(self, session: Session) -> None:
        """Read this session after those before, the last of which has ended. Any thread may call it."""
        if not self._is_closed:
            self._cursors.append(session.cursor(attended=self._attended))

    def take(self) -> Batch:
        """Everything that happened since the last call, as far as it is of one session."""
        while len(self._cursors) > 1:  # the first has ended: this is its last
            first = self._cursors.popleft()
            batch = first.take()
            first.close()
            if batch.notices or batch.blocks:
                return batch
        return self._cursors[0].take()

    def close(self) -> None:
        """Read no more. The run goes on."""
        self._is_closed = True
        for cursor in list(self._cursors):  # another thread may add one
            cursor.close()
