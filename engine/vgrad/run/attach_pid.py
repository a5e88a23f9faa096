"""Begins to watch a training process that is running already, and lets go of it again."""

from __future__ import annotations

import time
from pathlib import Path

import vgrad
from vgrad.errors import ConfigError
from vgrad.run.detached import has_started
from vgrad.run.injection import inject, require_python_with_torch
from vgrad.store.folder import RunFolder, all_runs

_CODE = """\
import os, sys
answer = {answer!r}
def say(text):
    with open(answer + ".new", "w") as file:
        file.write(text)
    os.replace(answer + ".new", answer)
say("begun")
sys.path.append({engine!r})
try:
    from vgrad.run import injected
    injected.{function}({folder!r})
    say("done")
except BaseException as error:
    say("error " + type(error).__name__ + ": " + str(error))
finally:
    sys.path.remove({engine!r})
"""
_BEGIN_S = 5.0
_DONE_S = 60.0
_TRAIN_S = 30.0
_LOOK_S = 0.02


def attach_process(pid: int) -> RunFolder:
    """Watch process ``pid`` from its next training step on, and return the folder that it records into.

    A process that is watched already gives its folder.

    Raises:
        ConfigError: If it cannot be watched; says why, and what to do.
        OSError: If no folder can be made.
    """
    for folder in all_runs():
        if folder.pid() == pid:
            return folder
    require_python_with_torch(pid)
    folder = RunFolder.create(f"pid-{pid}")
    try:
        _run_inside(pid, folder, "begin")
        _wait_for_training(pid, folder)
    except ConfigError:
        if folder.pid() is None:
            folder.remove()
        raise
    return folder


def _wait_for_training(pid: int, folder: RunFolder) -> None:
    end = time.monotonic() + _TRAIN_S
    while not has_started(folder):
        if time.monotonic() > end:
            _run_inside(pid, folder, "release")
            raise ConfigError(f"process {pid} has made no training step for {_TRAIN_S:.0f} s: it was let go")
        time.sleep(_LOOK_S)


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
    _run_inside(pid, folder, "release")
    end = time.monotonic() + _TRAIN_S
    while folder.pid() is not None:
        if time.monotonic() > end:
            raise ConfigError(f"process {pid} lets go at its next training step, which has not come yet")
        time.sleep(_LOOK_S)


def _run_inside(pid: int, folder: RunFolder, function: str) -> None:
    answer, script = _answer(folder), folder.path / "inject.py"
    answer.unlink(missing_ok=True)
    engine = str(Path(vgrad.__file__).parents[1])
    script.write_text(
        _CODE.format(answer=str(answer), engine=engine, folder=str(folder.path), function=function),
        encoding="utf-8",
    )
    try:
        inject(pid, script)
        said = _wait(answer, "", _BEGIN_S)
    finally:
        script.unlink(missing_ok=True)  # a call that comes later finds nothing to run
    if not said:
        raise ConfigError(
            f"the main thread of process {pid} has run no Python for {_BEGIN_S:.0f} s: try later"
        )
    said = _wait(answer, "begun", _DONE_S)
    if said != "done":
        raise ConfigError(f"process {pid} cannot be watched: {said.removeprefix('error ')}")


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
