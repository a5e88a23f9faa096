"""Many independent runs, each in one of several processes, so that torch's threads and seeds never meet.

Parent and workers exchange pickles over pipes: both ends run this program, and no file is read.
"""

from __future__ import annotations

import os
import pickle  # between our own processes
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from vgrad.errors import VgradError

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_COMMAND = (sys.executable, "-c", "from vgrad.lab.process_pool import serve; serve()")


def map_in_processes(
    function: Callable[[_In], _Out], items: Sequence[_In], *, processes: int
) -> Generator[tuple[int, _Out], None, None]:
    """Yield the index of each item with ``function(item)`` as it ends, in no particular order.

    Closing the generator, or an exception in its reader, ends the processes at once; the results of
    the items that they were working on are lost.

    Args:
        function: Can be imported by its name, as pickle demands.
        items: What to call it with. Items and results can be pickled.
        processes: How many items at a time. One is done in this very process.

    Raises:
        VgradError: If ``function`` raised one, or a process died.
    """
    if processes == 1 or len(items) < 2:
        for index, item in enumerate(items):
            yield index, function(item)
        return
    pool = _Pool(function, items, min(processes, len(items)))
    try:
        yield from pool.results()
    finally:
        pool.end()


class _Pool(Generic[_In, _Out]):
    """A thread for each process, which feeds it, and one queue that all threads put results into."""

    def __init__(self, function: Callable[[_In], _Out], items: Sequence[_In], num_workers: int) -> None:
        self._num_items = len(items)
        self._todo: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        for index, item in enumerate(items):
            self._todo.put((index, pickle.dumps((function, item))))
        self._results: queue.SimpleQueue[tuple[int, _Out] | VgradError] = queue.SimpleQueue()
        self._workers = [
            # A session of its own: Ctrl-C reaches this process alone, which then ends the workers.
            subprocess.Popen(  # noqa: S603  # our own module
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
            for _ in range(num_workers)
        ]
        self._threads = [threading.Thread(target=self._feed, args=(worker,)) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def results(self) -> Iterator[tuple[int, _Out]]:
        for _ in range(self._num_items):
            result = self._results.get()
            if isinstance(result, VgradError):
                raise result
            yield result

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            # An item that it was killed before reading cannot be flushed, and need not be.
            with suppress(BrokenPipeError), worker:  # closes its pipes and waits for it
                pass

    def _feed(self, worker: subprocess.Popen[bytes]) -> None:
        """Hand items to one process until there are no more, or until it has failed."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        while True:
            try:
                index, request = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                worker.stdin.write(request)
                worker.stdin.flush()
                answer = pickle.load(worker.stdout)  # noqa: S301  # our own worker's
            except (OSError, EOFError, pickle.UnpicklingError):  # a broken pipe: the process has died
                answer = VgradError(f"the process that worked on item {index} died")
            if isinstance(answer, VgradError):
                self._results.put(answer)
                return
            self._results.put((index, answer))


def serve() -> None:
    """Be a worker: answer each ``(function, item)`` on stdin with a result, or a `VgradError`, on stdout."""
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what anybody prints must not get between the answers
        while True:
            try:
                function, item = pickle.load(requests)  # noqa: S301  # our own parent's
            except EOFError:
                return
            try:
                answer = function(item)
            except VgradError as error:
                answer = VgradError(str(error))
            pickle.dump(answer, answers)
            answers.flush()
