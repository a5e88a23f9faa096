"""The Python processes of this machine that something can be injected into, as /proc describes them."""

from __future__ import annotations

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

from vgrad.errors import ConfigError

PTRACE_REFUSED = """\
attaching to process {pid} is not permitted. Allow ptrace (sysctl kernel.yama.ptrace_scope=0; for a container:
--cap-add=SYS_PTRACE), or start the script with vgrad-tui watch"""

_PROC = Path("/proc")
_OLDEST_MINOR = 11
_IS_HELPER = re.compile(r"multiprocessing|torch/_inductor|\bvgrad\b")
_LIST = "vgrad-tui attach --list shows what can be watched"


@dataclass(frozen=True, slots=True)
class TargetProcess:
    """A Python process of this account that has torch loaded.

    Attributes:
        pid: Its process id.
        parent: That of its parent.
        command: Its command line.
        minor: The number after the point in its Python's version, or None where nothing says.
    """

    pid: int
    parent: int
    command: str
    minor: int | None

    @property
    def python(self) -> Path:
        """The interpreter that it runs."""
        return _PROC / str(self.pid) / "exe"


def find_target(pid: int) -> TargetProcess:
    """The process ``pid``, if something can be injected into it.

    Raises:
        ConfigError: If not; says why, and what to do.
    """
    if not _PROC.is_dir():
        raise ConfigError("only on Linux can one attach to a running process; start it with vgrad-tui watch")
    if pid == os.getpid():
        raise ConfigError(f"process {pid} is this very program")
    try:
        status = _status(pid)
        _require_reachable(pid, status)
        mapped = (_PROC / str(pid) / "maps").read_text(encoding="utf-8", errors="replace")
        if _namespace(pid) != _namespace(os.getpid()):
            raise ConfigError(f"process {pid} has a file system of its own: attach inside its container")
        command = _command(pid)
    except (FileNotFoundError, ProcessLookupError):
        raise ConfigError(f"there is no process {pid}: {_LIST}") from None
    except OSError:
        raise ConfigError(PTRACE_REFUSED.format(pid=pid)) from None
    return TargetProcess(pid, int(status["PPid"]), command, _require_python_with_torch(pid, mapped))


def all_targets() -> list[TargetProcess]:
    """The processes of this account that something can be injected into, by process id."""
    found = []
    for folder in _PROC.glob("[0-9]*"):
        try:
            found.append(find_target(int(folder.name)))
        except ConfigError:
            continue
    return sorted(found, key=lambda target: target.pid)


def programs_of_session(session: int) -> list[TargetProcess]:
    """The targets in a session that run a program of their own, and not that of the session's leader.

    Helpers of `multiprocessing` and of ``torch.compile``, and what vgrad watches already, are left out.
    """
    try:
        leader = _command(session)
    except OSError:  # it has ended
        return []
    found = []
    for target in all_targets():
        try:
            is_there = os.getsid(target.pid) == session
        except ProcessLookupError:
            continue
        if is_there and target.command != leader and not _IS_HELPER.search(target.command):
            found.append(target)
    return found


def _require_reachable(pid: int, status: dict[str, str]) -> None:
    uid, state, tracer = int(status["Uid"].split()[0]), status["State"][0], status["TracerPid"]
    if uid != os.geteuid():
        raise ConfigError(f"process {pid} belongs to {_name_of(uid)}: attach as that user, with sudo -u")
    if state == "Z":
        raise ConfigError(f"process {pid} has ended: {_LIST}")
    if tracer != "0":
        raise ConfigError(f"process {pid} is being debugged by process {tracer}")
    if state == "T":
        raise ConfigError(f"process {pid} is stopped: continue it with kill -CONT {pid}")


def _require_python_with_torch(pid: int, mapped: str) -> int | None:
    """The minor version of Python in a process, by the files that it has mapped."""
    if "python" not in mapped:
        raise ConfigError(f"process {pid} is not Python: {_LIST}")
    if "libtorch" not in mapped:
        raise ConfigError(f"process {pid} has not loaded torch: {_LIST}")
    minor = _minor_version(mapped)
    if minor is not None and minor < _OLDEST_MINOR:
        raise ConfigError(f"process {pid} runs Python 3.{minor}, and vgrad needs 3.{_OLDEST_MINOR} or newer")
    return minor


def _status(pid: int) -> dict[str, str]:
    lines = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _namespace(pid: int) -> str:
    """Which files a process sees."""
    return str((_PROC / str(pid) / "ns" / "mnt").readlink())


def _command(pid: int) -> str:
    words = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
    return words.decode("utf-8", errors="replace").strip()


def _minor_version(mapped: str) -> int | None:
    """Of Python, by the files that a process has mapped: its library, or else the folder of its modules."""
    found = re.search(r"/libpython3\.(\d+)", mapped) or re.search(r"/python3\.(\d+)[/\s]", mapped)
    return None if found is None else int(found[1])


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
