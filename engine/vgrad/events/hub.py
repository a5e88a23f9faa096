"""The hand-off from the training thread to any number of readers, each at a pace of its own.

The engine puts and never waits. A reader is a cursor: a position in the stream, and no more, so
a reader that is slow, or gone, costs nothing. Steps go through a backlog of bounded size, thinned
and counted; notices are kept from the first to the last, so that every reader sees all of them in
one order. Only of the numbers that a loop logs of its own, perhaps at every step, the newest are kept.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from heapq import merge
from itertools import takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, Self

from vgrad.events.backlog import Backlog
from vgrad.events.batch import Batch, Snapshot
from vgrad.events.notices import MetricsLogged, Notice, NoticeBody, RankReported
from vgrad.events.step_block import StepBlock

if TYPE_CHECKING:
    from vgrad.events.rank_stats import RankStats

_MAX_BYTES = 8 * 2**20
_MAX_LOGGED = 10_000  # far more than come in a second, and a recorder looks more often


class Hub:
    """One stream of steps and notices; thread-safe, and no call waits for a reader.

    Args:
        max_bytes: Memory that steps may take.
        now_s: Clock, Unix time in seconds.
    """

    def __init__(self, *, max_bytes: int = _MAX_BYTES, now_s: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._now_s = now_s
        self._steps = Backlog(max_bytes)
        self._num_notices = 0
        self._notices: list[Notice] = []  # all but those in `_logged`
        self._logged: deque[Notice] = deque(maxlen=_MAX_LOGGED)
        # By part, each with the number of its publication.
        self._snapshots: dict[int, tuple[int, Snapshot]] = {}
        self._num_published = 0
        self._ranks: tuple[int, tuple[RankStats, ...]] = (0, ())  # likewise
        self._senders: dict[str, str] = {}  # by the id of the command
        self._attended: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._wakers: weakref.WeakSet[threading.Event] = weakref.WeakSet()
        _hubs.add(self)

    def put(self, block: StepBlock) -> None:
        """Add steps that follow all those of their part."""
        with self._lock:
            self._steps.put(block)

    def notify(
        self, body: NoticeBody, *, step: int | None = None, part: int = 0, command_id: str | None = None
    ) -> Notice:
        """Add a notice, which gets the next number and the time.

        Args:
            body: What happened.
            step: The step that it belongs to; that of ``body`` unless given, or 0 where it has none.
            part: The part of the run that it is about.
            command_id: The command that it answers, if it answers one.
        """
        if step is None:
            step = getattr(body, "step", 0)
        with self._lock:
            sender = None if command_id is None else self._senders.get(command_id)
            notice = Notice(self._num_notices, self._now_s(), step, part, body, command_id, sender)
            self._num_notices += 1
            (self._logged if isinstance(body, MetricsLogged) else self._notices).append(notice)
            if isinstance(body, RankReported):  # a launcher may end this process for it at any moment
                for event in self._wakers:
                    event.set()
        return notice

    def sent_by(self, command_id: str, sender: str) -> None:
        """Take note of who sent a command from another process: its answers will say so."""
        with self._lock:
            self._senders[command_id] = sender

    def publish(self, snapshot: Snapshot, *, part: int = 0) -> None:
        """Replace what is known of a part: only the newest is of use."""
        with self._lock:
            self._num_published += 1
            self._snapshots[part] = self._num_published, snapshot

    def publish_ranks(self, ranks: tuple[RankStats, ...]) -> None:
        """Replace what is known of the ranks of a training over several processes."""
        with self._lock:
            self._num_published += 1
            self._ranks = self._num_published, ranks

    def cursor(self, *, from_start: bool = True, attended: bool = False) -> Cursor:
        """A new reader.

        Args:
            from_start: Whether it also gets what has happened so far: all notices, and those of the
                steps and logged numbers that are still kept.
            attended: Whether somebody sits there who can answer, as at a screen.
        """
        with self._lock:
            if from_start:
                cursor = Cursor(self, 0, 0, 0)
            else:
                cursor = Cursor(self, self._steps.num_put, self._num_notices, self._num_published)
            if attended:
                self._attended.add(cursor)
        return cursor

    @property
    def is_attended(self) -> bool:
        """Whether an open reader has somebody who can answer."""
        with self._lock:
            return bool(self._attended)

    @property
    def nbytes(self) -> int:
        """Bytes that the steps take, whatever the number of readers."""
        with self._lock:
            return self._steps.nbytes

    def _take(self, cursor: Cursor) -> Batch:
        with self._lock:
            blocks = self._steps.after(cursor._num_steps)
            num_dropped = self._steps.num_put - cursor._num_steps - sum(map(len, blocks))
            notices = self._notices_from(cursor._num_notices)
            snapshots = {
                part: snapshot
                for part, (number, snapshot) in self._snapshots.items()
                if number > cursor._num_published
            }
            number, ranks = self._ranks
            new_ranks = ranks if number > cursor._num_published else None
            cursor._num_steps = self._steps.num_put
            cursor._num_notices = self._num_notices
            cursor._num_published = self._num_published
        return Batch(blocks, notices, snapshots, num_dropped, ranks=new_ranks)

    def _notices_from(self, sequence: int) -> tuple[Notice, ...]:
        """The notices from a number on that are still kept, in their order."""
        first = bisect_left(self._notices, sequence, key=attrgetter("sequence"))
        logged = list(takewhile(lambda notice: notice.sequence >= sequence, reversed(self._logged)))
        return tuple(merge(self._notices[first:], reversed(logged), key=attrgetter("sequence")))

    def _close(self, cursor: Cursor) -> None:
        with self._lock:
            self._attended.discard(cursor)


class Cursor:
    """A reader's position in the stream of a hub. Made by `Hub.cursor`; use it from one thread.

    It need not be closed: nothing is kept for it. As a context manager it closes itself.
    """

    def __init__(self, hub: Hub, num_steps: int, num_notices: int, num_published: int) -> None:
        self._hub: Hub | None = hub
        self._num_steps = num_steps
        self._num_notices = num_notices
        self._num_published = num_published

    def take(self) -> Batch:
        """Everything that happened since the last call, at once; nothing after `close`."""
        return Batch() if self._hub is None else self._hub._take(self)

    def wake_when_urgent(self, event: threading.Event) -> None:
        """Set ``event`` when there is a notice that is to be recorded at once, as long as it exists."""
        if self._hub is not None:
            with self._hub._lock:
                self._hub._wakers.add(event)

    def close(self) -> None:
        """Read no more. The run goes on."""
        if self._hub is not None:
            self._hub._close(self)
            self._hub = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Give every hub a free lock: a thread that does not exist in the child may have held it."""
    for hub in list(_hubs):
        hub._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
