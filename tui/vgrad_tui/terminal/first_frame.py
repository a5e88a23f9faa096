"""The very first frame, on the screen before anything large has been imported."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

EMPTY = "\x1b[0m\x1b[2J\x1b[H"
"""Empties the terminal, without colours, and goes to its corner."""

_ENTER = f"\x1b[?1049h\x1b[?25l{EMPTY}"  # the alternate screen, no cursor
LEAVE_ALTERNATE_SCREEN = "\x1b[?1049l"
_LEAVE = f"{EMPTY}\x1b[?25h{LEAVE_ALTERNATE_SCREEN}"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that ask the program to leave."""


class FirstFrame:
    """Owns the terminal until the app takes it."""

    def __init__(self) -> None:
        self._has_terminal = True
        self._interrupted_by: int | None = None

    def interrupt(self, number: int, _: object) -> NoReturn:
        """Handle a signal that asks the program to leave.

        Python's own handler of SIGINT does this, but asyncio would put another in its place.
        """
        self._interrupted_by = number
        raise KeyboardInterrupt

    def hand_over(self) -> int | None:
        """The app takes the terminal now, and will restore it.

        Returns:
            The signal that has asked the program to leave, which is still to be obeyed; None if none has.
            Python drops an exception that is raised in a destructor or in the callback of a weak reference,
            and importing a module calls some.
        """
        self._has_terminal = False
        number, self._interrupted_by = self._interrupted_by, None
        return number

    def close(self) -> None:
        """Give the terminal back as it was, if the app has not taken it."""
        if self._has_terminal:
            _write(_LEAVE)


@contextmanager
def first_frame(words: str) -> Iterator[FirstFrame]:
    """Take the terminal over at once and say what is being done, until the app draws its first frame.

    Importing the screen, or reading a long record, takes longer than anybody should look at nothing. Whatever
    happens before the app has the terminal, an exception or a signal, gives it back as it was.

    Args:
        words: What is being done; ASCII.
    """
    taken = FirstFrame()
    former = {number: signal.signal(number, taken.interrupt) for number in SIGNALS}
    try:
        _write(f"{_ENTER}... {words}")
        yield taken
    finally:
        taken.close()
        for number, handler in former.items():
            if signal.getsignal(number) is not signal.SIG_IGN:  # what is ignored by now stays ignored
                signal.signal(number, handler)


def _write(text: str) -> None:
    assert sys.__stderr__ is not None  # it is a terminal: that was seen to
    sys.__stderr__.write(text)  # Textual writes there, too
    sys.__stderr__.flush()
