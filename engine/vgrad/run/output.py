"""A text stream that may fail at any moment: the writer goes on, and knows that text was lost."""

from __future__ import annotations

import os
from typing import TextIO

_USUAL_COLUMNS = 80


class Output:
    """Writes text to a stream until the stream fails, and drops the text from then on.

    A full disk, a closed descriptor, a reader that has gone away and a terminal that has hung up
    are all failures of the stream. None of them raises.

    Args:
        stream: Where the text goes. None, which is what Python makes of a descriptor that was
            closed before it started, counts as a stream that has failed.
        name: What to call the stream in `lost`.
    """

    def __init__(self, stream: TextIO | None, name: str) -> None:
        self._stream = stream
        self._name = name
        self._failure = "closed" if stream is None else ""
        self._has_lost = False

    def write(self, text: str) -> None:
        """Write and flush ``text``, or drop it."""
        if not text:
            return
        if self._stream is not None and not self._failure:
            try:
                self._stream.write(text)
                self._stream.flush()
                return
            except (OSError, ValueError) as error:  # ValueError: Python closed it, or cannot encode the text
                self._failure = getattr(error, "strerror", None) or str(error)
        self._has_lost = True

    @property
    def lost(self) -> str | None:
        """Which stream lost text and why, in one line; None if all of it was written."""
        return f"{self._name} could not be written: {self._failure}" if self._has_lost else None

    @property
    def is_redrawable(self) -> bool:
        """Whether a line can be drawn over: a terminal that understands control sequences."""
        try:
            is_terminal = self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False
        return is_terminal and os.environ.get("TERM") != "dumb"

    @property
    def columns(self) -> int:
        """Width of the terminal in cells; 80 where it does not say."""
        try:
            columns = 0 if self._stream is None else os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):  # it has hung up, or is not a terminal
            columns = 0
        return columns or _USUAL_COLUMNS
