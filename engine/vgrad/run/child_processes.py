"""Watches what child processes of a script train: those that `multiprocessing` or ``os.fork`` has made.

A child that is forked has the watcher already. One that is spawned gets it with the first thing that its
parent sends to it. Each child that trains is a run of its own; where the children are ranks of one training,
the first of them records. A program that a script starts (`subprocess`) is no child in this sense.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vgrad.run.after_import import after_import
from vgrad.run.script_options import ScriptOptions
from vgrad.run.watched_script import WatchedScript

if TYPE_CHECKING:
    from collections.abc import Callable

# Unpickling must not fail in a child that cannot import vgrad.
_IN_CHILD = """
try:
    from vgrad.run.child_processes import begin_in_child
except ImportError:
    pass
else:
    begin_in_child(options)
"""


def watch_children(watched: WatchedScript) -> None:
    """Watch what the children of this process train, as ``watched`` does with the process itself."""
    os.register_at_fork(after_in_child=watched.go_on_in_child)
    after_import("multiprocessing.spawn", functools.partial(_send_along, watched.options))
    after_import("multiprocessing.pool", functools.partial(_end_with_pool, watched))


def begin_in_child(options: dict[str, Any]) -> None:
    """This process is a child that `multiprocessing` has spawned; it has imported nothing of the script."""
    watched = WatchedScript(ScriptOptions(**options), is_child=True)
    watched.expect_training()
    watch_children(watched)


def _end_with_pool(watched: WatchedScript) -> None:
    """The module of pools is there: this process may have a pool, or be a worker of one."""
    from vgrad.run.pool_workers import end_with_pool

    end_with_pool(watched)


def _send_along(options: ScriptOptions) -> None:
    """Add to what `multiprocessing` sends to every child that it spawns, or has forked by a server."""
    spawn: Any = sys.modules["multiprocessing.spawn"]
    original: Callable[[str], dict[str, Any]] = spawn.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        return {**original(name), "vgrad": _BeginInChild(options)}

    spawn.get_preparation_data = get_preparation_data


class _BeginInChild:
    """Calls `begin_in_child` where it is unpickled."""

    def __init__(self, options: ScriptOptions) -> None:
        self._options = options

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, dict[str, Any]]]:
        return exec, (_IN_CHILD, {"options": asdict(self._options)})
