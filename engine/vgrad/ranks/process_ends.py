"""Wakes a thread as soon as one of some processes of this machine has ended, whatever their parent is."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from pathlib import Path


class ProcessEnds:
    """Waits for the end of processes.

    Linux tells it at once, from version 5.3 on (``pidfd_open``). Elsewhere, and where a sandbox forbids it,
    `has_ended` looks each time, and `wait` only sleeps. Use it from one thread; any may call `wake`.
    """

    def __init__(self) -> None:
        self._fds: dict[int, int | None] = {}  # by process id; None where the kernel does not tell
        self._ended: set[int] = set()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def has_ended(self, pid: int) -> bool:
        """Whether process ``pid`` has ended; if not, `wait` will return when it does."""
        if pid in self._ended:
            return True
        if pid not in self._fds:
            self._fds[pid] = _open(pid)
        fd = self._fds[pid]
        return not _is_alive(pid) if fd is None else bool(_readable([fd], 0.0))

    def wait(self, timeout_s: float) -> None:
        """Return when a process that was asked for ends, once for each, at `wake`, or after ``timeout_s``."""
        pids = {fd: pid for pid, fd in self._fds.items() if fd is not None}
        for fd in _readable([self._woken, *pids], timeout_s):
            if fd == self._woken:
                os.read(fd, 4096)
            else:
                self._ended.add(pids[fd])
                self._forget(pids[fd])

    def wake(self) -> None:
        """Make `wait` return, or the next call of it."""
        with suppress(BlockingIOError):  # it is full of calls that nobody has seen yet
            os.write(self._waker, b"w")

    def close(self) -> None:
        """Wait for nothing any more; no other call may follow, or be running."""
        for pid in list(self._fds):
            self._forget(pid)
        os.close(self._woken)
        os.close(self._waker)

    def _forget(self, pid: int) -> None:
        fd = self._fds.pop(pid)
        if fd is not None:
            os.close(fd)


def _open(pid: int) -> int | None:
    """What becomes readable when process ``pid`` has ended; None where that is not to be had."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old one, no such process, or forbidden
        return None


def _readable(fds: list[int], timeout_s: float) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(timeout_s * 1000)]


def _is_alive(pid: int) -> bool:
    """Whether a process of this machine is there and has not ended; where that is not known, it is."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except ProcessLookupError:
        return False
    except (FileNotFoundError, PermissionError):  # no Linux, or another user's
        return True
    return not state.strip().startswith(("Z", "X"))
