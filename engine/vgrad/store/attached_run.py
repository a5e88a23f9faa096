"""A run in another process, or one that has ended, as a screen sees it: read from its folder."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vgrad.controls.controls import Stop
from vgrad.errors import DataError
from vgrad.events.batch import Batch
from vgrad.events.notices import RunEnded, RunStarted
from vgrad.store import inbox
from vgrad.store.ancestry import with_ancestors
from vgrad.store.ending import ended_by, last_printed, likely_reason
from vgrad.store.reader import RunReader
from vgrad.store.stop_signal import signal_that_ends

if TYPE_CHECKING:
    import signal

    from vgrad.controls.controls import Command
    from vgrad.events.rank_stats import RankStats
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
        self._has_overview = self._has_ended = False
        self._step = self._num_notices = 0
        self._takes_stop = True
        self._ranks: tuple[RankStats, ...] = ()
        self._reading: Future[Batch] | None = None

    @property
    def exception(self) -> BaseException | None:
        """What ended the run is known to its own process alone; the record has its words."""
        return None

    @property
    def log(self) -> Path:
        """What its process has printed."""
        return self.folder.settled().log

    @property
    def outlives_screen(self) -> bool:
        """A process of its own trains it."""
        return True

    @property
    def is_alive(self) -> bool:
        """Whether a process trains it now."""
        return self.folder.pid() is not None

    def read_ahead(self) -> None:
        """Begin to read the whole history, in a thread of its own; until it is read a drain gives nothing."""
        beside = ThreadPoolExecutor(1, "vgrad-reader")
        self._reading = beside.submit(self._look)
        beside.shutdown(wait=False)

    def start(self) -> None:
        """It runs, or has run, already."""

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Ask for a command and return its id, which the answer carries.

        Raises:
            DataError: If the folder cannot be written.
        """
        return inbox.send(self.folder.inbox, command, command_id=command_id)

    def drain(self) -> Batch:
        """Take everything that was recorded since the last drain: at first, the whole history.

        A run whose process is gone without having said how it ended has failed, and so has one whose record
        cannot be read: the last notice says so.
        """
        reading = self._reading
        if reading is not None and not reading.done():
            return Batch()
        if reading is None and self._has_ended:
            self._follow()
            return Batch()
        # Asked first: whatever it wrote before its end is read below, now or with the next drain.
        is_alive = reading is not None or self.is_alive
        self._reading = None
        try:
            batch = self._look() if reading is None else reading.result()
        except DataError as error:
            return self._end(Batch(), str(error))
        if is_alive or batch.blocks or batch.notices:
            return batch
        return self._end(batch, likely_reason(self._ranks), last_printed(self.folder.settled()))

    def _look(self) -> Batch:
        news = self._reader.take(with_layers=True) if self._has_overview else self._reader.overview()
        batch = with_ancestors(news)
        self._has_overview = True
        self._ranks = batch.ranks or self._ranks
        for block in batch.blocks:
            self._step = int(block.step[-1])
        for notice in batch.notices:
            self._num_notices = notice.sequence + 1
            self._has_ended = isinstance(notice.body, RunEnded)
            if isinstance(notice.body, RunStarted):
                self._takes_stop = not notice.body.info.capabilities.why_not("stop")
        return batch

    def _end(self, batch: Batch, error: str, printed: str | None = None) -> Batch:
        self._has_ended = True
        folder = self.folder.settled()
        notice = ended_by(folder, error, step=self._step, sequence=self._num_notices, printed=printed)
        return replace(batch, notices=(*batch.notices, notice))

    def _follow(self) -> None:
        """Where the run was rewound it goes on in another folder: read that from the next drain on."""
        folder = self.folder.successor()
        if folder is None:
            return
        try:
            reader = RunReader(folder)
        except DataError:
            return  # nothing is recorded there yet
        self._reader.close()
        self.folder, self._reader = folder, reader
        self._has_overview = self._has_ended = False
        self._step = self._num_notices = 0

    def close(self) -> None:
        """Leave. The run goes on."""
        if self._reading is not None:
            wait([self._reading])
        self._reader.close()

    @property
    def stop_signal(self) -> signal.Signals | None:
        """What `stop` sends to a loop that is not vgrad's; None for a run that knows the command."""
        pid = None if self._takes_stop else self.folder.pid()
        return None if pid is None else signal_that_ends(pid)

    def stop(self) -> None:
        """Ask for the end of the run. A loop that is not vgrad's knows no such command: it gets a signal."""
        pid = self.folder.pid()
        if pid is None:
            return
        if self._takes_stop:
            self.submit(Stop())
        else:
            for each in (pid, *self._other_ranks(pid)):
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(each, signal_that_ends(each))

    def _other_ranks(self, pid: int) -> list[int]:
        """The processes on this machine that train with process ``pid``: those that its launcher has started.

        The record alone is not believed: a number in it may by now be that of another process.
        """
        host, launcher = platform.node(), _parent_of(pid)
        recorded = [each.pid for each in self._ranks if each.host == host and each.pid not in {0, pid}]
        return [each for each in recorded if launcher is not None and _parent_of(each) == launcher]

    def join(self, timeout: float | None = None) -> bool:
        """Wait until no process trains it any more; True once that is so."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_alive:
            if end is not None and time.monotonic() >= end:
                return False
            time.sleep(_LOOK_S)
        return True


def _parent_of(pid: int) -> int | None:
    """The process that has started ``pid``; None where that is not known, or is nobody's launcher."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    parent = int(text.rpartition(")")[2].split()[1])
    return parent if parent > 1 else None
