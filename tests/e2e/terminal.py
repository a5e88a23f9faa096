"""A real pseudo-terminal with a program in it, and what a person would see there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

VGRAD_TUI = Path(sys.executable).with_name("vgrad-tui")

PATIENCE_S = 180.0
"""Longer than a start takes that imports torch on a machine which does the same for others."""


def _seen(cell: pyte.screens.Char) -> pyte.screens.Char:
    """The cell without what nobody sees of it."""
    if cell.data != " " or cell.underscore or cell.strikethrough or cell.reverse:
        return cell
    return cell._replace(fg="default", bold=False, italics=False, blink=False)


class Terminal:
    """Runs a program in a pseudo-terminal and emulates the screen.

    Args:
        command: Program and arguments.
        columns: Width in cells.
        lines: Height in cells.
        environ: Added to the environment.

    Attributes:
        num_bytes: Bytes that the program has written.
        raw: Those bytes, as long as ``keep_raw`` is set.
        is_stalled: Set it, and nothing is read any more: a connection that hangs.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        columns: int = 80,
        lines: int = 24,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.num_bytes = 0
        self.raw = b""
        self.keep_raw = False
        self.is_stalled = False
        self.exit_code: int | None = None
        self._is_hung_up = False
        self.last_output = time.perf_counter()
        self.started = time.perf_counter()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._unread = bytearray()
        self._lock = threading.Lock()
        usual = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        foreign = ("NO_COLOR", "COLUMNS", "LINES")  # of the terminal that the tests run in
        inherited = {name: value for name, value in os.environ.items() if name not in foreign}
        environment = {**inherited, **usual, **(environ or {})}
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            _set_size(0, columns, lines)  # before the program can ask
            os.execvpe(str(command[0]), [str(part) for part in command], environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal another size, as a window manager would."""
        with self._lock:
            self._screen.resize(lines, columns)
        _set_size(self._fd, columns, lines)

    def _read(self) -> None:
        while not self._is_hung_up:
            if self.is_stalled:
                time.sleep(0.02)
                continue
            try:
                ready, _, _ = select.select([self._fd], [], [], 0.05)
                if not ready:
                    continue
                data = os.read(self._fd, 65536)
            except OSError:  # the program has gone
                return
            if not data:
                return
            self.last_output = time.perf_counter()
            self.num_bytes += len(data)
            if self.keep_raw:
                self.raw += data
            with self._lock:
                self._unread += data

    def text(self) -> str:
        """What the screen shows, line by line."""
        with self._lock:
            # Emulated only when somebody looks, so that measuring costs the program nothing.
            # pyte does not know the private modes with a leading '<', '=' or '>'.
            self._stream.feed(re.sub(rb"\x1b\[[<=>][0-9;]*[a-zA-Z]", b"", bytes(self._unread)))
            self._unread.clear()
            return "\n".join(line.rstrip() for line in self._screen.display)

    def cells(self) -> list[list[pyte.screens.Char]]:
        """What the screen shows, cell by cell: characters with their colours and attributes.

        Of a blank that is its background, and what lines there are through it.
        """
        self.text()  # emulates what has come meanwhile
        with self._lock:
            screen = self._screen
            return [[_seen(screen.buffer[y][x]) for x in range(screen.columns)] for y in range(screen.lines)]

    def wait_until_quiet(self, quiet_s: float = 1.0, timeout: float = PATIENCE_S) -> None:
        """Wait until the program has written nothing for ``quiet_s`` seconds.

        Raises:
            AssertionError: If it never stops writing.
        """
        deadline = time.monotonic() + timeout
        began = time.perf_counter()
        while time.perf_counter() - max(began, self.last_output) < quiet_s:
            assert time.monotonic() < deadline, f"it still writes after {timeout} s:\n{self.text()}"
            time.sleep(0.02)

    def wait_until_idle(self, idle_s: float, timeout: float = PATIENCE_S) -> None:
        """Wait until the program has neither written nor wanted a processor for ``idle_s`` seconds.

        A program that waits for a processor on a busy machine is not idle, so a much shorter time will do
        than for `wait_until_quiet`.

        Raises:
            AssertionError: If it never comes to rest.
        """
        deadline = time.monotonic() + timeout
        busy = time.perf_counter()
        wants = True
        while time.perf_counter() - max(busy, self.last_output) < idle_s:
            assert time.monotonic() < deadline, f"it still works after {timeout} s:\n{self.text()}"
            time.sleep(0.01)
            wanted, wants = wants, self._wants_a_processor()
            if wanted and wants:  # seen once it may be a timer that has found nothing to do
                busy = time.perf_counter()

    def _wants_a_processor(self) -> bool:
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends while it is looked at
                if stat.read_text().rpartition(")")[2].split()[0] in "RD":
                    return True
        return False

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def click(self, column: int, line: int) -> None:
        """Click with the left button, counted from 0."""
        os.write(self._fd, f"\x1b[<0;{column + 1};{line + 1}M\x1b[<0;{column + 1};{line + 1}m".encode())

    def wait_for(self, pattern: str, timeout: float = PATIENCE_S, *, every_s: float = 0.01) -> str:
        """Wait until the screen matches a regular expression, and return the screen.

        Raises:
            AssertionError: If it does not in time; carries the screen.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            text = self.text()
            if re.search(pattern, text):
                return text
            time.sleep(every_s)
        raise AssertionError(f"{pattern!r} did not appear within {timeout} s:\n{self.text()}")

    def wait_until_gone(self, pattern: str, timeout: float = PATIENCE_S) -> None:
        """Wait until nothing on the screen matches a regular expression.

        Raises:
            AssertionError: If something still does; carries the screen.
        """
        deadline = time.monotonic() + timeout
        while re.search(pattern, self.text()):
            assert time.monotonic() < deadline, f"{pattern!r} is still there:\n{self.text()}"
            time.sleep(0.01)

    def wait_for_bytes(self, num_bytes: int, timeout: float = PATIENCE_S) -> None:
        """Wait until the program has written so many bytes in all.

        Raises:
            AssertionError: If it does not in time; carries the screen.
        """
        deadline = time.monotonic() + timeout
        while self.num_bytes < num_bytes:
            assert time.monotonic() < deadline, f"nothing was written:\n{self.text()}"
            time.sleep(0.01)

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Wait for the program's end and return its exit code.

        Raises:
            AssertionError: If it does not end in time; carries the screen.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                self._reader.join(1.0)
                return self.exit_code
            time.sleep(0.02)
        raise AssertionError(f"still running after {timeout} s:\n{self.text()}")

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Take the terminal away: a closed window, a dropped line."""
        # The number of a closed descriptor is soon another terminal's: a reader that had not
        # noticed would take half of what that one's program writes.
        self._is_hung_up = True
        self._reader.join()
        os.close(self._fd)

    def close(self) -> None:
        """End the program if it has not ended."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if not self._is_hung_up:
            self.hang_up()


def _set_size(fd: int, columns: int, lines: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
