"""Moves the folder of a run that has ended from the local disk to the folder of all runs.

The pointer is removed last: until then, every reader finds the whole folder on the local disk. A process
that was killed leaves its folder there; the next list of runs on the same host moves it.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.pointer import is_of_the_place, pointed_from, remove_pointer

if TYPE_CHECKING:
    from pathlib import Path

_OF_A_LIVE_RUN = ("lock", "inbox.sqlite")
_DATABASE = "run.sqlite"
_STAGED = ".moving.sqlite"


def move_home(folder: RunFolder) -> RunFolder:
    """Move a run whose lock this process holds, and let go of it; return its folder from then on.

    A run that lies where it belongs is left there.

    Raises:
        OSError: If it cannot be copied; it stays where it is, with its pointer.
    """
    at_home = pointed_from(folder.path)
    if at_home is None:
        folder.unlock()
        return folder
    try:
        _copy(folder.path, at_home)
        remove_pointer(at_home)
    finally:
        folder.unlock()
    shutil.rmtree(folder.path, ignore_errors=True)
    return RunFolder(at_home)


def complete_moves() -> None:
    """Move every run on this host whose process was killed before it could."""
    for folder in all_runs():
        if pointed_from(folder.path) is None or folder.pid() is not None:
            continue
        with suppress(ConfigError, OSError):  # another process moves it, or there is no room
            folder.lock()
            move_home(folder)


def _copy(local: Path, at_home: Path) -> None:
    """Copy all that matters of a run that has ended.

    Raises:
        OSError: If it cannot be read or written.
    """
    staged = local / _STAGED
    try:
        if (local / _DATABASE).exists():
            _fold(local / _DATABASE, staged)
            shutil.copyfile(staged, at_home / _DATABASE)
            shutil.copystat(local / _DATABASE, at_home / _DATABASE)  # runs are sorted by its time
        for path in local.iterdir():
            if is_of_the_place(path.name) or path.name.startswith((*_OF_A_LIVE_RUN, _DATABASE, _STAGED)):
                continue
            if path.is_dir():
                shutil.copytree(path, at_home / path.name, dirs_exist_ok=True)
            else:
                shutil.copy2(path, at_home / path.name)
    except sqlite3.Error as error:
        raise OSError(f"{local / _DATABASE} cannot be copied: {error}") from None
    finally:
        staged.unlink(missing_ok=True)


def _fold(database: Path, target: Path) -> None:
    """Copy a database with what its write-ahead log still holds into one that needs no such log."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
