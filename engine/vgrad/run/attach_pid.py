"""Begins to watch a training process that is running already, and lets go of it again."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.run import start_inside
from vgrad.run.detached import has_started
from vgrad.run.injection import inject, require_means
from vgrad.run.target_process import find_target
from vgrad.store.folder import RunFolder, all_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.run.target_process import TargetProcess

_BEGIN_S = 5.0
_DONE_S = 60.0
_RELEASE_S = 30.0
_TELL_S = 2.0
_LOOK_S = 0.02


def attach_process(pid: int, tell: Callable[[str], None] = lambda _: None) -> RunFolder:
    """Watch process ``pid`` from its next training step on; wait for that step.

    An interrupt while it waits lets go of the process. A process that is watched already is left as it is.

    Args:
        pid: The process.
        tell: Called with a sentence when waiting for the step takes long.

    Returns:
        The folder that it records into.

    Raises:
        ConfigError: If it cannot be watched; says why, and what to do.
        OSError: If no folder can be made.
    """
    watched = folder_of(pid)
    if watched is not None:
        _wait_for_step(pid, watched, tell)
        return watched
    target = find_target(pid)
    require_means(target)
    folder = RunFolder.create(f"pid-{pid}")
    try:
        _run_inside(target, folder, "begin")
        _wait_for_step(pid, folder, tell)
    except ConfigError:
        if folder.pid() is None and not has_started(folder):
            folder.remove()
        raise
    except KeyboardInterrupt:
        release_process(folder)
        raise
    return folder


def folder_of(pid: int) -> RunFolder | None:
    """The folder that process ``pid`` records into now, or None."""
    return next((folder for folder in all_runs() if folder.pid() == pid), None)


def release_process(folder: RunFolder) -> None:
    """Switch all controls off and take all hooks off in the process that was attached to.

    Raises:
        ConfigError: If the run is not alive, or was not attached to by its process id.
    """
    pid = folder.pid()
    if pid is None:
        raise ConfigError(f"the run {folder.name!r} is not alive")
    if not _answer(folder).exists():
        raise ConfigError(f"the run {folder.name!r} was not attached to: it is watched by its own program")
    _run_inside(find_target(pid), folder, "release")
    end = time.monotonic() + _RELEASE_S
    while folder.pid() is not None:
        if time.monotonic() > end:
            raise ConfigError(f"process {pid} lets go at its next backward pass, which has not come yet")
        time.sleep(_LOOK_S)


def _wait_for_step(pid: int, folder: RunFolder, tell: Callable[[str], None]) -> None:
    tell_at = time.monotonic() + _TELL_S
    while not has_started(folder):
        if folder.pid() is None:
            raise ConfigError(f"process {pid}, or watching it, has ended before a training step")
        if time.monotonic() > tell_at:
            tell(f"waiting for the next training step of process {pid}; Ctrl-C lets it go")
            tell_at = float("inf")
        time.sleep(_LOOK_S)


def _run_inside(target: TargetProcess, folder: RunFolder, function: str) -> None:
    """Call a function of `vgrad.run.injected` in ``target`` and wait until it has returned."""
    answer = _answer(folder)
    answer.unlink(missing_ok=True)
    script = folder.path.parents[1] / f"attach-{target.pid}.py"
    package = str(Path(__file__).parents[1])
    call = f"start_inside({function!r}, {str(folder.path)!r}, {str(answer)!r}, {package!r})\n"
    script.write_text(inspect.getsource(start_inside) + call, encoding="utf-8")
    inject(target, script)
    said = _wait(answer, "", _BEGIN_S)
    if not said:
        script.write_text("", encoding="utf-8")  # a call that comes later finds nothing to run
        raise ConfigError(
            f"the main thread of process {target.pid} has run no Python for {_BEGIN_S:.0f} s, and only there"
            " can watching begin: try again when it does; where it waits for other threads, which train,"
            " start the script with vgrad-tui watch"
        )
    script.unlink()
    said = _wait(answer, "begun", _DONE_S)
    if said != "done":
        raise ConfigError(f"process {target.pid} cannot be watched: {said.removeprefix('error ')}")


def _wait(answer: Path, before: str, timeout_s: float) -> str:
    """What the process says once it says something other than ``before``; else that."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        said = answer.read_text(encoding="utf-8") if answer.exists() else ""
        if said != before:
            return said
        time.sleep(_LOOK_S)
    return before


def _answer(folder: RunFolder) -> Path:
    return folder.path / "injected.txt"
