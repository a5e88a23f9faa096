"""What runs inside a process that was attached to: in its main thread, between two bytecodes of the training.

Everything is imported at once: the folder that vgrad lies in is on the process's path only meanwhile.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vgrad.run.recording import record_watch, warn
from vgrad.store.folder import RunFolder
from vgrad.watching.every_optimizer import EveryOptimizer
from vgrad.watching.hooks import when_no_step_runs
from vgrad.watching.watch import Watch

_watches: dict[str, Watch] = {}


def begin(folder: str) -> None:
    """Watch every optimizer of this process, those included that it has made already."""
    name = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else "attached"
    watch = Watch(name, joins_midway=True)
    _watches[folder] = watch
    record_watch(watch, folder=RunFolder(Path(folder)), on_problem=warn)
    every = EveryOptimizer(watch)
    every.begin()
    every.notice_existing()


def release(folder: str) -> None:
    """End watching: between two steps, so now or at the next backward pass."""
    watch = _watches.pop(folder, None)
    if watch is not None:
        when_no_step_runs(watch.close)
