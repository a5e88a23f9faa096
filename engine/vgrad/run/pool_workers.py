"""Ends the run of a `multiprocessing.Pool` worker as its pool ends the worker, which it does by SIGTERM.

A pool ends its workers when all results are there. They wait for a task then, or are about to leave. Only
then is the signal taken here, so that what they have trained is recorded to its end. While a task runs, the
signal ends the worker at once, as it does without us.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgrad.run.watched_script import WatchedScript


def end_with_pool(watched: WatchedScript) -> None:
    """Where this process is a worker of a pool, or forks such workers: end ``watched`` as its pool ends it.

    `multiprocessing.pool` must have been imported.
    """
    from vgrad.watching.tracebacks import leave_out_this_frame

    pool: Any = sys.modules["multiprocessing.pool"]
    original = pool.worker

    @functools.wraps(original)
    def worker(inqueue: Any, outqueue: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if watched.is_child and threading.current_thread() is threading.main_thread():
                this = _Worker(watched)
                inqueue, outqueue = _Queue(inqueue, get=this.get), _Queue(outqueue, put=this.put)
            original(inqueue, outqueue, *args, **kwargs)
        except BaseException as error:
            leave_out_this_frame(error)
            raise

    pool.worker = worker


class _Queue:
    """A queue of which one method is replaced by one that is given the queue first."""

    def __init__(self, queue: Any, **method: Any) -> None:
        self._queue = queue
        for name, function in method.items():
            setattr(self, name, functools.partial(function, queue))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


class _Worker:
    """Takes the signal from when a result is put until the next task is there.

    Args:
        watched: What the worker trains.
    """

    def __init__(self, watched: WatchedScript) -> None:
        self._watched = watched
        self._takes_signal = False
        self._is_leaving = False
        self._has_come = False

    def put(self, queue: Any, result: Any) -> None:
        """Send a result."""
        self._take_signal()
        queue.put(result)

    def get(self, queue: Any) -> Any:
        """The next task; None where the worker is to leave."""
        self._take_signal()
        task = None
        try:
            task = queue.get()
        finally:
            if self._takes_signal:
                if task is None:  # its pool does not wait long for it
                    self._is_leaving = True
                    self._watched.finish(None)
                self._let_signal()
        return task

    def _take_signal(self) -> None:
        is_usual = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self._watched.has_begun and is_usual:  # else the script takes it itself
            self._takes_signal = True
            signal.signal(signal.SIGTERM, self._come)

    def _let_signal(self) -> None:
        self._takes_signal = False
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._has_come:
            os.kill(os.getpid(), signal.SIGTERM)

    def _come(self, *_: object) -> None:
        is_first, self._has_come = not self._has_come, True
        if is_first and not self._is_leaving:
            self._watched.finish(None)
            self._let_signal()
