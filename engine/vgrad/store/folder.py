"""The folder of a run: where it lies, what it is called, and whether its process is alive.

    $VGRAD_HOME, else $XDG_STATE_HOME/vgrad, else ~/.local/state/vgrad
        runs/NAME/          0700: the account's own
            run.sqlite      what happened
            inbox.sqlite    commands that were asked for
            lock            held by the training process: the run is alive exactly as long as it is held
            log.txt         what the process printed, where it runs on its own
            successor       name of the run that goes on where this one was rewound
            checkpoints/    saved states, see `vgrad.store.checkpoints`
            pointer.json    alone there, while the run is kept elsewhere, see `vgrad.store.pointer`

The lock is a POSIX record lock (``lockf``). The system releases it however the process ends, and forked
workers do not inherit it, as they would an ``flock``.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vgrad.errors import ConfigError
from vgrad.printable import printable
from vgrad.store.pointer import Pointer, place_on_local_disk, pointed_from

LONGEST_NAME = 80
# The fields of C's struct flock, and how they lie in memory on 64-bit processors.
_FLOCK_OF_LINUX = ("type", "whence", "start", "length", "pid"), "hhqqi4x"
_FLOCK_OF_MACOS = ("start", "length", "pid", "type", "whence"), "qqihh"
# POSIX drops a process's record lock when the process closes *any* descriptor of the file, so a
# process that holds a lock must never open that file again.
_held: dict[Path, int] = {}
os.register_at_fork(after_in_child=_held.clear)  # a child holds none of its parent's locks


def home() -> Path:
    """The folder of all runs of this account; it need not exist yet.

    Raises:
        ConfigError: If none is chosen and the account has no home.
    """
    try:
        if chosen := os.environ.get("VGRAD_HOME"):
            return Path(chosen).expanduser().absolute()
        state = Path(os.environ.get("XDG_STATE_HOME", ""))
        if not state.is_absolute():  # which its specification says to ignore
            state = Path("~/.local/state").expanduser()
        return state / "vgrad"
    except RuntimeError:  # a container may run under a number that no account has
        raise ConfigError("this account has no home: say in VGRAD_HOME where runs are to be kept") from None


def file_stem(title: str) -> str:
    """What a file or folder of a run called ``title`` may be named after it: at most 56 characters."""
    return re.sub(r"[^\w.-]+", "-", printable(title)).strip("-.")[: LONGEST_NAME - 24] or "run"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder.

    Attributes:
        path: The folder.
    """

    path: Path

    @classmethod
    def create(cls, title: str) -> Self:
        """Make the folder of a new run, named after ``title``, the date and the time.

        Where the folder of all runs is on a network file system, it is on a local disk until the run ends.

        Raises:
            OSError: If it cannot be made; says where, and what to do.
            ConfigError: If the local disk that was chosen is none.
        """
        runs = home() / "runs"
        try:
            runs.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = _new_folder(runs, f"{file_stem(title)}-{time.strftime('%m%d-%H%M%S')}")
        except OSError as error:
            raise cannot_be_kept(runs, error) from error
        return cls(place_on_local_disk(path) or path)

    @classmethod
    def find(cls, name: str) -> Self:
        """The folder of the run called ``name``.

        Raises:
            ConfigError: If there is none, it is on another host, or the name is none that a run can have.
        """
        if not name or len(name) > LONGEST_NAME or "/" in name or name.startswith("."):
            raise ConfigError(f"{printable(name[:LONGEST_NAME])!r} is no name of a run: see vgrad-tui runs")
        path = home() / "runs" / name
        if not path.is_dir():
            raise ConfigError(
                f"there is no run called {printable(name)!r} in {path.parent}: see vgrad-tui runs"
            )
        pointer = Pointer.read(path)
        if pointer is None:
            return cls(path)
        pointer.require_here(name)
        return cls(pointer.path)

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.path.name

    @property
    def database(self) -> Path:
        """What happened: written by the training process alone."""
        return self.path / "run.sqlite"

    @property
    def inbox(self) -> Path:
        """Commands that were asked for: written by those who steer."""
        return self.path / "inbox.sqlite"

    @property
    def log(self) -> Path:
        """What the training process printed, where it runs on its own."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """Where its saved states lie."""
        return self.path / "checkpoints"

    def set_successor(self, folder: RunFolder) -> None:
        """Record that the run goes on in another folder.

        Raises:
            OSError: If it cannot be written.
        """
        aside = self.path / ".successor"
        aside.write_text(folder.name, encoding="utf-8")
        aside.replace(self._successor_file)

    def successor(self) -> RunFolder | None:
        """The folder in which the run goes on where it was rewound, alive or not; else None."""
        try:
            name = self.settled()._successor_file.read_text(encoding="utf-8")
            return RunFolder.find(name)
        except (OSError, ValueError, ConfigError):  # it was not rewound, or what followed was removed
            return None

    def newest(self) -> RunFolder:
        """The folder in which the run goes on where it was rewound and is alive; else this one."""
        folder, seen = self.settled(), {self.name}
        while folder.pid() is None:
            following = folder.successor()
            if following is None or following.name in seen:
                return self.settled()
            folder = following
            seen.add(folder.name)
        return folder

    def settled(self) -> RunFolder:
        """The folder where it is now: one that was kept on a local disk has moved when its run ended."""
        at_home = home() / "runs" / self.name
        return self if self.path.is_dir() or not at_home.is_dir() else RunFolder(at_home)

    def num_bytes(self) -> int:
        """Bytes of all its files."""
        return bytes_below(self.path)

    def lock(self) -> None:
        """Hold the lock until this process ends or calls `unlock`: the run is alive.

        A lock that is held is taken again where the folder has been removed and made again.

        Raises:
            ConfigError: If another process holds it.
            OSError: If it cannot be written.
        """
        file = self._lock_file
        if file in _held and _is_still_at(file, _held[file]):
            return
        self.unlock()
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConfigError(f"the run {self.name!r} is alive in another process") from None
        _held[file] = descriptor

    def unlock(self) -> None:
        """Let go of the lock: the run has ended."""
        descriptor = _held.pop(self._lock_file, None)
        if descriptor is not None:
            os.close(descriptor)

    def pid(self) -> int | None:
        """The process that trains it now, or None where no process does."""
        if self._lock_file in _held:
            return os.getpid()
        try:
            descriptor = os.open(self._lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return _lock_holder(descriptor)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Delete the folder and all that is in it.

        Raises:
            ConfigError: If the run is alive.
            OSError: If a file cannot be deleted.
        """
        if self.pid() is not None:
            raise ConfigError(f"the run {self.name!r} is alive: stop it first")
        at_home = pointed_from(self.path)
        shutil.rmtree(self.path)
        if at_home is not None:
            shutil.rmtree(at_home)

    @property
    def _successor_file(self) -> Path:
        return self.path / "successor"

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"


def _is_still_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that lies at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock_holder(descriptor: int) -> int | None:
    """Id of the process that holds a record lock on any byte of an open file; None if there is none."""
    names, layout = _FLOCK_OF_MACOS if sys.platform == "darwin" else _FLOCK_OF_LINUX
    asked = {"type": fcntl.F_WRLCK, "whence": os.SEEK_SET}
    packed = struct.pack(layout, *(asked.get(name, 0) for name in names))
    answer = struct.unpack(layout, fcntl.fcntl(descriptor, fcntl.F_GETLK, packed))
    found: dict[str, int] = dict(zip(names, answer, strict=True))
    return None if found["type"] == fcntl.F_UNLCK else found["pid"]


def cannot_be_kept(place: Path, error: OSError) -> OSError:
    """An error that says where a run cannot be kept, why, and what to do."""
    return OSError(f"runs cannot be kept in {place}: {error.strerror}; VGRAD_HOME can name another place")


def _new_folder(runs: Path, name: str) -> Path:
    """Make a folder of this name in ``runs``; where there is one already, with a number behind it."""
    for number in itertools.count(1):
        path = runs / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise AssertionError  # the numbers do not end


def bytes_below(path: Path) -> int:
    """Bytes of all files in a folder and in those below it; what is deleted meanwhile counts nothing."""
    total = 0
    for parent, _, names in os.walk(path):  # passes over folders that are renamed or deleted meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _paths_of_runs() -> list[Path]:
    """What lies in the folder of all runs; nothing where it does not exist yet."""
    runs = home() / "runs"
    try:
        return sorted(runs.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = f"{error.strerror}; VGRAD_HOME can name another place"
        raise OSError(f"the runs in {printable(str(runs))} cannot be listed: {reason}") from error


def all_runs() -> list[RunFolder]:
    """The folders of all runs that this host can read, the newest first.

    Raises:
        OSError: If they cannot be listed; says where, and why.
    """
    found = []
    for path in _paths_of_runs():
        pointer = Pointer.read(path)
        folder = RunFolder(path if pointer is None else pointer.path)
        with suppress(OSError):  # somebody has just removed it, or it is another account's
            if (pointer is None or pointer.is_here) and folder.database.is_file():
                found.append((folder.database.stat().st_mtime, folder.name, folder.path))
    return [RunFolder(path) for _, _, path in sorted(found, reverse=True)]


def runs_elsewhere() -> dict[str, Pointer]:
    """The runs that are kept on other hosts until they end, by name.

    Raises:
        OSError: If they cannot be listed; says where, and why.
    """
    pointers = {path.name: Pointer.read(path) for path in _paths_of_runs()}
    return {
        name: pointer for name, pointer in pointers.items() if pointer is not None and not pointer.is_here
    }
