"""Several runs at a time, each in a process of its own: torch's threads and seeds never meet."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from vgrad.errors import VgradError
from vgrad.lab.study.plan import Run
from vgrad.lab.study.results import as_plain, result_from_json
from vgrad.lab.study.run import Result, carry_out

Finished = tuple[Run, Result]

_COMMAND = (sys.executable, "-m", "vgrad.lab.study.worker")


def carry_out_all(runs: Sequence[Run], *, jobs: int = 1) -> Generator[Finished, None, None]:
    """Yield each run with its result as it ends, in no particular order if ``jobs`` is not 1.

    Closing the iterator, or an exception in whoever reads it, ends the processes at once and loses
    the runs that are at work.

    Args:
        runs: What to carry out.
        jobs: Processes. One job is done in this very process.

    Raises:
        VgradError: If a run cannot be carried out, or a process died; those at work are ended.
    """
    if jobs == 1:
        for run in runs:
            yield run, carry_out(run)
        return
    pool = _Pool(runs, min(jobs, len(runs)))
    try:
        yield from pool.finished()
    finally:
        pool.end()


class _Pool:
    """Threads that each feed one process, and one queue that all of them answer into."""

    def __init__(self, runs: Sequence[Run], num_workers: int) -> None:
        self._num_runs = len(runs)
        self._todo: queue.SimpleQueue[Run] = queue.SimpleQueue()
        for run in runs:
            self._todo.put(run)
        self._answers: queue.SimpleQueue[Finished | VgradError] = queue.SimpleQueue()
        self._workers = [
            # A session of its own: Ctrl-C is for this process, which then ends the workers.
            subprocess.Popen(  # noqa: S603  # our own module
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            for _ in range(num_workers)
        ]
        self._threads = [threading.Thread(target=self._feed, args=(worker,)) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def finished(self) -> Iterator[Finished]:
        for _ in range(self._num_runs):
            answer = self._answers.get()
            if isinstance(answer, VgradError):
                raise answer
            yield answer

    def end(self) -> None:
        for worker in self._workers:
            worker.kill()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            # A run that it was killed before reading cannot be flushed, and need not be.
            with suppress(BrokenPipeError), worker:  # closes its pipes and waits for it
                pass

    def _feed(self, worker: subprocess.Popen[str]) -> None:
        """Hand runs to one process until there are no more, or until it has died."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        while True:
            try:
                run = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                worker.stdin.write(json.dumps(as_plain(run)) + "\n")
                worker.stdin.flush()
                line = worker.stdout.readline()
            except OSError:  # a broken pipe: the process has died
                line = ""
            died = {"error": f"the process that ran {run.key} died"}
            answer: dict[str, Any] = json.loads(line) if line.endswith("\n") else died
            if "error" in answer:
                self._answers.put(VgradError(answer["error"]))
                return
            self._answers.put((run, result_from_json(answer["result"])))
