"""Textual's driver, extended: whether the terminal keeps up or is gone, and output in ASCII alone."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Mapping
from types import FrameType
from typing import ClassVar

from rich.cells import cell_len
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from vgrad_tui.terminal.first_frame import EMPTY, LEAVE_ALTERNATE_SCREEN, SIGNALS, FirstFrame

_BOXES = {
    **dict.fromkeys("─━═╌╍┄┅┈┉╴╶╸╺▔", "-"),
    **dict.fromkeys("│┃║╎╏┆┇┊┋╵╷▏▎▍▕▐▌", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝╠╣╦╩╬┏┓┗┛┣┫┳┻╋", "+"),
    **dict(zip("▁▂▃▄▅▆▇█", "_,-:=+*#", strict=True)),
    **dict(zip("░▒▓", ".:#", strict=True)),
    **dict.fromkeys("▖▗▘▝▀▙▛▜▟▚▞▋▊▉", "#"),
    **dict.fromkeys("•●◉■▪◆", "*"),
    **dict.fromkeys("○◯□·", "."),
    **dict.fromkeys("→▸▶▷►⏵›", ">"),
    **dict.fromkeys("←◂◀◄‹", "<"),
    **dict.fromkeys("↑▲△⏶", "^"),
    **dict.fromkeys("↓▼▽⏷", "v"),
    "‖": "|", "×": "x", "±": "~", "…": ".", "÷": "/", "≤": "<", "≥": ">", "✓": "+", "✗": "x",
    "∞": "8", "Δ": "d", "◇": "o", "–": "-", "—": "-", "’": "'", "⚠": "!", "Ω": "O", "μ": "u", "≈": "~",
    "⭘": "o", "↔": "-", "↕": "|", "⏎": "<", "␣": "_", "\u00a0": " ", "ρ": "p",
}  # fmt: skip
_BY_DOTS = " ..::+**#"  # braille patterns by the number of their dots


class _ToAscii(dict[int, str]):
    """A translation of every character to ASCII of the same width, for `str.translate`."""

    def __missing__(self, code: int) -> str:
        if code < 0x80:
            text = chr(code)
        elif 0x2800 <= code <= 0x28FF:
            text = _BY_DOTS[(code - 0x2800).bit_count()]
        else:
            text = _BOXES.get(chr(code), "?" * cell_len(chr(code)))
        self[code] = text
        return text


TO_ASCII = _ToAscii()


def wants_ascii(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the locale says that the terminal shows nothing but ASCII.

    Python itself sets ``LC_CTYPE`` to ``C.UTF-8`` under ``LANG=C``, so that value says nothing
    while ``LANG`` says C. A locale that is not set at all says nothing either: most such
    terminals, in containers, do show Unicode.
    """
    if environ.get("TERM", "") in ("linux", "vt100", "vt220", "dumb"):
        return True
    ctype = environ.get("LC_CTYPE", "")
    names = [environ.get("LC_ALL", ""), "" if ctype == "C.UTF-8" else ctype, environ.get("LANG", "")]
    name = next((name for name in names if name), "")
    return name in ("C", "POSIX") or (bool(name) and "utf" not in name.lower())


class Interrupted(Message):
    """A signal asks the program to leave.

    Args:
        is_hang_up: Whether the line has dropped, so that nobody can have meant the run to end.
    """

    def __init__(self, *, is_hang_up: bool) -> None:
        super().__init__()
        self.is_hang_up = is_hang_up


class TerminalDriver(LinuxDriver):
    """Textual's driver, which also knows whether the terminal is behind, and can do with ASCII.

    Attributes:
        ascii_only: Whether every character is translated to ASCII on its way out.
        first_frame: What owns the terminal until the driver takes it.
    """

    ascii_only: ClassVar[bool] = False
    first_frame: ClassVar[FirstFrame | None] = None

    def start_application_mode(self) -> None:
        """Take the terminal; from here on a signal is a message, never an exception while a frame is drawn.

        The handlers outlive the event loop, unlike its own: a line that drops is often said to have dropped
        more than once, and the second time must not end the process while the run is being saved.
        """
        loop = asyncio.get_running_loop()

        def ask(number: int, _: FrameType | None) -> None:
            if not loop.is_closed():
                asks = Interrupted(is_hang_up=number == signal.SIGHUP)
                loop.call_soon_threadsafe(self._app.post_message, asks)
            elif number != signal.SIGHUP:
                raise KeyboardInterrupt  # the user does not want to wait for the end any longer

        for number in SIGNALS:
            signal.signal(number, ask)
        pending = None if self.first_frame is None else self.first_frame.hand_over()
        super().start_application_mode()  # type: ignore[no-untyped-call]  # Textual's is not annotated
        if pending is not None:
            ask(pending, None)

    def run_input_thread(self) -> None:
        """Read keys until the end. Where reading fails there is no terminal any more, which is no crash."""
        try:
            super().run_input_thread()
        except OSError:
            self._app.post_message(Interrupted(is_hang_up=True))

    @property
    def is_behind(self) -> bool:
        """Whether earlier output still waits for the terminal to take it."""
        return self._writer_thread is not None and self._writer_thread._queue.qsize() > 0

    @property
    def is_gone(self) -> bool:
        """Whether there is no terminal any more: a closed window, a dropped line.

        A program gets a signal then only where its parent passes it on, and make does not.
        """
        poller = select.poll()
        poller.register(self.fileno, 0)  # no event is asked for: a hang-up is always reported
        return bool(poller.poll(0))

    def write(self, data: str) -> None:
        """Write to the terminal, from a thread that may wait for it. It is given back empty.

        GNU screen has no alternate screen unless its settings say so: what was drawn would stay, and the
        shell would write over it. No write is added: a terminal that is gone takes none from the queue,
        which is short.
        """
        if data == LEAVE_ALTERNATE_SCREEN:
            data = EMPTY + data
        if self.ascii_only:
            data = data.translate(TO_ASCII)
        super().write(data)
