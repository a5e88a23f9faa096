"""Where a run is kept that cannot be in the folder of all runs yet: a pointer there says which host has it.

SQLite's write-ahead log needs memory that all processes share, which no network file system gives. So where
``VGRAD_HOME`` is on one, as it is on most clusters, a run lies on a local disk while it trains:

    VGRAD_HOME/runs/NAME/pointer.json     the host, and the path there
    LOCAL/NAME/                           the run's folder; its file ``home`` names the folder above

LOCAL is ``VGRAD_LOCAL`` where that is set, which keeps runs there in any case; else ``/var/tmp/vgrad-UID``.
When the run ends, `vgrad.store.move_from_local` moves the folder to where the pointer was.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vgrad.errors import ConfigError
from vgrad.printable import printable
from vgrad.store.file_system import is_on_network

_FILE = "pointer.json"
_HOME = "home"
_VARIABLE = "VGRAD_LOCAL"


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where a run is kept.

    Attributes:
        host: Name of the host.
        path: The run's folder there.
    """

    host: str
    path: Path

    @classmethod
    def read(cls, at_home: Path) -> Self | None:
        """The pointer in a folder of the folder of all runs; None where the run itself is there."""
        try:
            data = json.loads((at_home / _FILE).read_text(encoding="utf-8"))
            return cls(str(data["host"]), Path(data["path"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether this is the host."""
        return self.host == platform.node()

    @property
    def words(self) -> str:
        """Where it is, for people."""
        return f"is on host {printable(self.host)}, in {printable(str(self.path))}, until it ends"

    def require_here(self, name: str) -> None:
        """Refuse what another host alone can do.

        Raises:
            ConfigError: If this is another host.
        """
        if not self.is_here:
            raise ConfigError(f"the run {printable(name)} {self.words}: use vgrad-tui there")


def local_folder(at_home: Path) -> Path | None:
    """The folder on a local disk in which runs are kept until they end; None where none is needed.

    Args:
        at_home: A folder of the folder of all runs.

    Raises:
        ConfigError: If the folder that was chosen is on a network file system, too.
    """
    chosen = os.environ.get(_VARIABLE)
    if not chosen and not is_on_network(at_home):
        return None
    local = Path(chosen).expanduser().absolute() if chosen else Path(f"/var/tmp/vgrad-{os.getuid()}")  # noqa: S108
    if is_on_network(local):
        raise ConfigError(f"{local} is on a network file system: set {_VARIABLE} to a folder on a local disk")
    return local


def place_on_local_disk(at_home: Path) -> Path | None:
    """Make the folder of a new run on a local disk, and the pointer to it; None where none is needed.

    Args:
        at_home: The run's own, still empty folder in the folder of all runs.

    Raises:
        ConfigError: If the folder that was chosen is on a network file system, too.
        OSError: If it cannot be made, or belongs to another account.
    """
    local = local_folder(at_home)
    if local is None:
        return None
    local.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(local)
    path = local / at_home.name
    path.mkdir(mode=0o700)
    (path / _HOME).write_text(str(at_home.absolute()), encoding="utf-8")
    aside = at_home / f".{_FILE}"
    aside.write_text(json.dumps({"host": platform.node(), "path": str(path)}), encoding="utf-8")
    aside.replace(at_home / _FILE)
    return path


def pointed_from(path: Path) -> Path | None:
    """The folder of the folder of all runs that points to the run kept at ``path``; None where none does."""
    try:
        at_home = Path((path / _HOME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    pointer = Pointer.read(at_home)
    return at_home if pointer == Pointer(platform.node(), path) else None


def remove_pointer(at_home: Path) -> None:
    """From now on the run is where its pointer was."""
    (at_home / _FILE).unlink()


def is_of_the_place(name: str) -> bool:
    """Whether a file of a run's folder says where it is kept, and so is not moved with it."""
    return name == _HOME


def _require_own(folder: Path) -> None:
    """Anybody may write to ``/var/tmp``, and so may have made the folder before us.

    Raises:
        PermissionError: If it is not this account's alone.
    """
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by other accounts: set {_VARIABLE} to another folder")
