"""Runs a piece of Python in the main thread of another process, by way of gdb.

gdb stops the process for about half a second. It has a session of its own, so that nothing that ends this
program ends gdb inside a call into the process, which would kill that, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from vgrad.errors import ConfigError

_GDB_S = 60.0
_PTRACE = """\
attaching to process {pid} is not permitted. Either run as its owner, with ptrace allowed (sysctl
kernel.yama.ptrace_scope=0; in a container: --cap-add=SYS_PTRACE), or start the script with vgrad-tui watch"""


def require_python_with_torch(pid: int) -> None:
    """Check that something can be injected into process ``pid``.

    Raises:
        ConfigError: If not; says why, and what to do.
    """
    try:
        mapped = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise ConfigError(f"there is no process {pid}: vgrad-tui attach --list") from None
    except OSError:
        raise ConfigError(_PTRACE.format(pid=pid)) from None
    if pid == os.getpid():
        raise ConfigError("that is this very process")
    if "python" not in mapped:
        raise ConfigError(f"process {pid} is not Python: vgrad-tui attach --list shows what can be watched")
    if "libtorch" not in mapped:
        raise ConfigError(f"process {pid} has not loaded torch: vgrad-tui attach --list")
    if shutil.which("gdb") is None:
        raise ConfigError(
            "gdb is needed to attach to a running process: apt install gdb; or vgrad-tui watch SCRIPT"
        )


def inject(pid: int, script: Path) -> None:
    """Ask process ``pid`` to run the Python file ``script`` as soon as its main thread runs Python.

    An error in it is not seen by the process. Nothing happens if the file is gone by then.

    Args:
        pid: A Python process of this account.
        script: The file; its path holds neither quotes nor backslashes.

    Raises:
        ConfigError: If it cannot be asked; says why, and what to do.
    """
    code = f"try: exec(open('{script}').read(), {{}})\\nexcept BaseException: pass\\n"
    commands = [
        "set auto-solib-add off",  # the symbols of torch alone would take seconds
        f"attach {pid}",
        "sharedlibrary libpython",
        f'print (int)Py_AddPendingCall((void*)&PyRun_SimpleString, "{code}")',
        "detach",
    ]
    arguments = [word for command in commands for word in ("-ex", command)]
    try:
        done = subprocess.run(  # noqa: S603  # a program and arguments of our own
            ["gdb", "-nx", "-batch", *arguments],  # noqa: S607  # wherever it is installed
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GDB_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"gdb did not come to an end with process {pid}") from None
    if "$1 = 0" in done.stdout:
        return
    if "ptrace" in done.stderr or "not permitted" in done.stderr:
        raise ConfigError(_PTRACE.format(pid=pid))
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise ConfigError(f"gdb could not call into process {pid}: {said}")


def python_processes() -> list[tuple[int, str]]:
    """The processes of this account that have torch loaded: process id and command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid != os.getuid() or int(folder.name) == os.getpid():
                continue
            mapped = (folder / "maps").read_text(encoding="utf-8", errors="replace")
            if "libtorch" in mapped and "python" in mapped:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(folder.name), words.decode("utf-8", errors="replace").strip()))
        except OSError:  # it has just ended, or is somebody else's
            continue
    return sorted(found)
