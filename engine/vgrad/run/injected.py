"""What runs inside a process that was attached to, once vgrad has been imported there.

`begin` runs in a thread of its own, so that the training stands still for no longer than it takes to start
that thread. `release` runs in the main thread.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from vgrad.run.recording import record_watch, warn
from vgrad.store.folder import RunFolder
from vgrad.watching.every_optimizer import EveryOptimizer
from vgrad.watching.hooks import at_next_backward, when_no_step_runs
from vgrad.watching.watch import Watch

_watches: dict[str, Watch] = {}
_RELEASED = "released: its process goes on without being watched"


def begin(folder: str) -> None:
    """Watch every optimizer of this process, those included that it has made already."""
    name = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else "attached"
    watch = Watch(name, joins_midway=True)
    _watches[folder] = watch
    record_watch(watch, folder=RunFolder(Path(folder)), on_problem=warn)
    every = EveryOptimizer(watch)
    every.notice_existing()  # before the training thread has anything to do with it
    every.begin()


def release(folder: str) -> None:
    """End watching: between two steps of the thread that trains, so now or at its next backward pass."""
    watch = _watches.pop(folder, None)
    if watch is None:
        return
    close = partial(watch.close, message=_RELEASED)
    if watch.step and not watch.is_of_this_thread:
        at_next_backward(close)
    else:
        when_no_step_runs(close)
