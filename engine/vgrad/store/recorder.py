"""Records a run into its folder from a thread of its own: training never waits for the disk."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Self

from vgrad.errors import VgradError
from vgrad.events.batch import Batch, Snapshot
from vgrad.events.notices import MetricsLogged
from vgrad.events.step_block import joined
from vgrad.store.database import open_to_write
from vgrad.store.fork import with_forks, without_forks
from vgrad.store.inbox import Inbox
from vgrad.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vgrad.events.hub import Cursor
    from vgrad.events.rank_stats import RankStats
    from vgrad.store.folder import RunFolder
    from vgrad.store.inbox import SentCommand

_log = logging.getLogger("vgrad")

_SNAPSHOT_S = 1.0  # between two writes of the statistics, of which only the newest are of use
EVERY_S = 0.25  # at most so much is missing after kill -9
_LOOK_S = 0.05  # between two looks for commands, and for notices, which are written at once
_RETRY_S = 1.0
# What is to be expected of a disk; all else is a fault of ours.
_OF_THE_DISK = (sqlite3.Error, OSError, VgradError)
_PATIENCE_S = 30.0  # for the disk, at the end
# Batches that wait while the disk cannot be written; of older ones only what happened waits.
_MOST_WAITING = 256


class Recorder:
    """Writes the stream of a run into a folder until it is closed, and takes commands from its inbox.

    Where the disk is full, or the folder is gone or cannot be written, it says so once, keeps what it can in
    memory, and goes on as soon as writing works again. Use it as a context manager.

    Args:
        cursor: Opens a reader of the run's stream, from its start; see `vgrad.events.hub.Hub.cursor`.
        folder: The run's folder.
        on_command: Called in the recorder's thread with every command that somebody sent to the inbox.
        on_problem: Called in the recorder's thread with the reason why recording has stopped, in words, and
            with None when it goes on.
        on_look: Called in the recorder's thread at each look for commands.
    """

    def __init__(
        self,
        cursor: Callable[[], Cursor],
        folder: RunFolder,
        *,
        on_command: Callable[[SentCommand], None] | None = None,
        on_problem: Callable[[str | None], None] | None = None,
        on_look: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self._open_cursor = cursor
        self._cursor = cursor()
        self._on_command = on_command
        self._on_problem = on_problem
        self._on_look = on_look
        self._problem: str | None = None
        self._since_s = time.time()
        self._passed_on: set[str] = set()  # ids: an inbox that is opened again has them still
        self._waiting: deque[Batch] = deque()
        self._snapshots: dict[int, Snapshot] = {}
        self._ranks: tuple[RankStats, ...] | None = None
        self._is_closing = threading.Event()
        self._wake = threading.Event()
        self._cursor.wake_when_urgent(self._wake)
        self._thread = threading.Thread(target=self._run, name="vgrad-recorder", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def close(self) -> None:
        """Write what is still to be written, and end the thread; the log says where that takes too long."""
        self._is_closing.set()
        self._wake.set()
        if self._thread.ident is None:
            return
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            _log.warning("the end of %s is not recorded: the disk takes too long", self.folder.path)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def problem(self) -> str | None:
        """Why nothing is being recorded now, in words; None where all is well."""
        return self._problem

    def _run(self) -> None:
        while not self._record_while_it_works():
            if self._is_closing.wait(_RETRY_S):
                self._record_while_it_works()  # the last try
                return

    def _record_while_it_works(self) -> bool:
        """Record until the end; False if writing has failed and is to be tried again."""
        folder = self.folder
        with without_forks():
            try:
                folder.path.mkdir(mode=0o700, exist_ok=True)
                if self._problem is not None and not folder.database.exists():
                    self._start_again()
                with (
                    closing(open_to_write(folder.database)) as connection,
                    closing(Inbox(folder.inbox, since_s=self._since_s)) as inbox,
                ):
                    self._record(Writer(connection), inbox)
            except Exception as error:  # noqa: BLE001  # a thread that ended unseen would record nothing more
                if not isinstance(error, _OF_THE_DISK):
                    _log.exception("vgrad could not record into %s; it tries again", folder.path)
                self._tell(_in_words(error, folder))
                return False
        return True

    def _record(self, writer: Writer, inbox: Inbox) -> None:
        next_s = next_snapshot_s = 0.0
        is_last = False
        while not is_last:
            with with_forks():
                self._wake.wait(_LOOK_S)
            self._wake.clear()
            is_last = self._is_closing.is_set()
            if self._on_look is not None:
                self._on_look()
            for sent in inbox.take():
                if self._on_command is not None and sent.command_id not in self._passed_on:
                    self._passed_on.add(sent.command_id)
                    self._on_command(sent)
            batch = self._cursor.take()
            self._snapshots |= batch.snapshots
            self._ranks = batch.ranks or self._ranks
            if batch.blocks or batch.notices:
                self._waiting.append(batch)
                self._drop_the_oldest_steps()
            now_s = time.monotonic()
            if not (batch.notices or is_last or now_s >= next_s):
                continue
            next_s = now_s + EVERY_S
            if is_last or now_s >= next_snapshot_s:
                next_snapshot_s = now_s + _SNAPSHOT_S
                self._waiting.append(Batch(snapshots=self._snapshots, ranks=self._ranks))
                self._snapshots, self._ranks = {}, None
            if self._waiting:
                writer.write(_joined(self._waiting))
                self._waiting.clear()
            self._tell(None)
            if not self.folder.database.exists():
                raise FileNotFoundError(f"{self.folder.path} has been removed")
        writer.finish()

    def _start_again(self) -> None:
        """The folder is a new one: it gets all notices, and the steps that are still known."""
        if self.folder.pid() == os.getpid():  # the lock was in the old one
            self.folder.lock()
        self._waiting.clear()
        self._cursor.close()
        self._cursor = self._open_cursor()

    def _drop_the_oldest_steps(self) -> None:
        while len(self._waiting) > _MOST_WAITING:
            first, second = self._waiting.popleft(), self._waiting.popleft()
            older = (each for each in first.notices if not isinstance(each.body, MetricsLogged))
            notices = (*older, *second.notices)
            self._waiting.appendleft(
                Batch(second.blocks, notices, second.snapshots, ranks=second.ranks or first.ranks)
            )

    def _tell(self, problem: str | None) -> None:
        if (problem is None) == (self._problem is None):
            return
        self._problem = problem
        if self._on_problem is not None:
            self._on_problem(problem)


def _in_words(error: Exception, folder: RunFolder) -> str:
    if not isinstance(error, _OF_THE_DISK):
        return f"{type(error).__name__}: {error}"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return reason if str(folder.path) in reason else f"{folder.path}: {reason}"


def _joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one, with as few blocks as can be."""
    return Batch(
        tuple(joined(block for batch in batches for block in batch.blocks)),
        tuple(notice for batch in batches for notice in batch.notices),
        {part: snapshot for batch in batches for part, snapshot in batch.snapshots.items()},
        ranks=next((batch.ranks for batch in reversed(batches) if batch.ranks), None),
    )
