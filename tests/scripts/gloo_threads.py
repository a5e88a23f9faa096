"""Lets the worker threads of gloo finish before the interpreter does."""

import time
from pathlib import Path


def wait_until_idle() -> None:
    """Return once gloo's worker threads have dropped every tensor that Python knows.

    A worker that drops such a tensor takes the GIL. Where the interpreter is being finalised by then, the
    thread is made to exit, and the process aborts: "terminate called without an active exception"
    (pytorch/pytorch issue 190489; on a busy machine about one bare script in twenty).
    """
    before = None
    while (now := _context_switches()) is None or now != before:
        before = now
        time.sleep(0.05)  # The GIL is free here: a worker that waits for it goes on.


def _context_switches() -> list[str] | None:
    """What each worker's counts of context switches say; None while one of them runs."""
    found = []
    for status in Path("/proc/self/task").glob("*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:  # it has just ended
            return None
        if lines[0].endswith("pt_gloo_runloop"):
            if not any(line.startswith("State:\tS") for line in lines):
                return None
            found += [status.parent.name, *lines[-2:]]
    return found
