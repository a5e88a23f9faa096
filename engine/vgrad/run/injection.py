"""Runs a piece of Python in the main thread of another process.

Python 3.14 and newer have `sys.remote_exec` for that; into older ones gdb calls `Py_AddPendingCall`, for
which it stops the process about half a second. Nothing that ends this program may end gdb inside a call into
the process, for that would end the process, too: gdb has a session of its own, writes into a file and not
into a pipe that may break, and is never killed, not even when it takes too long.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.run.target_process import PTRACE_REFUSED

if TYPE_CHECKING:
    from vgrad.run.target_process import TargetProcess

_GDB_S = 60.0
_REMOTE_EXEC_S = 30.0
_REMOTE_EXEC_MINOR = 14
_PAGE = 4096

# In a file of commands the first error ends all of them; gdb then detaches, and the process runs on. The text
# lies in a page of its own: what gdb allocates itself comes from malloc, which the process may be inside of.
# A signal during a call undoes the call. The symbols of torch would take seconds: they stay out.
_COMMANDS = """\
set auto-solib-add off
set unwindonsignal on
handle all nostop noprint pass
attach {pid}
sharedlibrary libpython
sharedlibrary libc[.-]
set $page = (long)((long(*)(long,long,int,int,int,long))mmap)(0, {page}, 3, 0x22, -1, 0)
if $page > 0
  restore {text} binary $page
  print ((int(*)(void*,void*))Py_AddPendingCall)((void*)&PyRun_SimpleString, (void*)$page)
end
detach
"""


def require_means(target: TargetProcess) -> None:
    """Check that there is a way into ``target`` on this machine.

    Raises:
        ConfigError: If gdb is missing.
    """
    if not _has_remote_exec(target) and shutil.which("gdb") is None:
        raise ConfigError(
            "gdb is needed to attach to a running process: apt install gdb; or vgrad-tui watch SCRIPT"
        )


def inject(target: TargetProcess, script: Path) -> None:
    """Ask ``target`` to run the Python file ``script`` as soon as its main thread runs Python.

    The process sees no error in it. If the file is empty by then, nothing happens.

    Args:
        target: The process.
        script: The file. Three files of gdb's are written beside it.

    Raises:
        ConfigError: If it cannot be asked; says why, and what to do.
    """
    if _has_remote_exec(target):
        _inject_by_remote_exec(target, script)
    else:
        _inject_by_gdb(target.pid, script)


def _has_remote_exec(target: TargetProcess) -> bool:
    return target.minor is not None and target.minor >= _REMOTE_EXEC_MINOR


def _inject_by_remote_exec(target: TargetProcess, script: Path) -> None:
    """Let an interpreter of the target's own version ask it: the two must be of the same version."""
    code = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])"
    try:
        done = subprocess.run(  # noqa: S603  # the interpreter that the process runs
            [target.python, "-I", "-S", "-c", code, str(target.pid), script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_REMOTE_EXEC_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"the Python of process {target.pid} could not be started: {error}") from None
    if done.returncode == 0:
        return
    if "PermissionError" in done.stderr:
        raise ConfigError(PTRACE_REFUSED.format(pid=target.pid))
    raise ConfigError(f"sys.remote_exec refused process {target.pid}: {_last_line(done.stderr)}")


def _inject_by_gdb(pid: int, script: Path) -> None:
    text, commands, said = (script.with_suffix(suffix) for suffix in (".text", ".gdb", ".said"))
    code = f"try: exec(open({str(script)!r}).read(), {{}})\nexcept BaseException: pass\n"
    if len(code.encode()) >= _PAGE:
        raise ConfigError(f"the path {script} is too long to be sent to a process")
    text.write_bytes(code.encode())
    commands.write_text(_COMMANDS.format(pid=pid, text=text, page=_PAGE), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "DEBUGINFOD_URLS"}
    with said.open("w", encoding="utf-8") as output:
        gdb = subprocess.Popen(  # noqa: S603  # a program and arguments of our own
            ["gdb", "-nx", "-batch", "-x", commands],  # noqa: S607  # wherever it is installed
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    try:
        gdb.wait(_GDB_S)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"gdb (process {gdb.pid}) has not come to an end with process {pid} in {_GDB_S:.0f} s; it was"
            " not killed, for that might end the training"
        ) from None
    result = said.read_text(encoding="utf-8", errors="replace")
    for path in (text, commands, said):
        path.unlink(missing_ok=True)
    if "$1 = 0\n" in result:
        return
    if "ptrace" in result or "not permitted" in result:
        raise ConfigError(PTRACE_REFUSED.format(pid=pid))
    raise ConfigError(f"gdb could not call into process {pid}: {_last_line(result)}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
