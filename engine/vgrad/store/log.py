"""What a script has printed into the log of its run's folder, as lines that are safe to show."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from vgrad.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 64 * 2**10
_MOST_LINES = 1000
_LONGEST_LINE = 8192
# Cursor up (by which nested progress bars go back to the first of them) and the ends of what was written on a
# line are followed. Colours, other moves, titles, links and other escapes are left out, never carried out.
_PIECES = re.compile(
    r"(?P<up>\x1b\[(?P<rows>\d{0,3})A)"
    r"|(?P<escape>\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\-_]))"
    r"|(?P<newline>\n)|(?P<return>\r)|(?P<text>[^\x1b\n\r]+|\x1b)"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*\x1b?)?\Z")
_LONGEST_ESCAPE = 256


class PrintedLines:
    """The lines of a text that grows, as a terminal would leave them, without any escape sequence.

    Of a line that was drawn over after a carriage return, as progress bars do, the last state counts.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._row = 0  # where the next text goes; the number of lines if it starts a new one
        self._replaces = False  # whether the next text replaces what stands in its row
        self._unfinished = ""  # the beginning of an escape sequence whose end has not been written yet

    def add(self, text: str, *, is_end: bool = False) -> None:
        """Add what has been written since the last call; ``is_end`` says that nothing will follow it."""
        text = self._unfinished + text
        unfinished = None if is_end else _UNFINISHED.search(text, max(0, len(text) - _LONGEST_ESCAPE))
        self._unfinished = unfinished[0] if unfinished else ""
        for piece in _PIECES.finditer(text, 0, len(text) - len(self._unfinished)):
            match piece.lastgroup:
                case "text":
                    self._write(piece[0])
                case "return":
                    self._replaces = True
                case "newline":
                    self._write("")
                    self._row += 1
                    self._replaces = True
                case "up":
                    self._row = max(0, self._row - int(piece["rows"] or 1))

    def _write(self, text: str) -> None:
        if self._row == len(self._lines):
            self._lines.append("")
        if text:
            before = "" if self._replaces else self._lines[self._row]
            self._lines[self._row] = (before + printable(text, keep="\t")).expandtabs()
            self._replaces = False

    def forget_old(self) -> None:
        """Keep the last 1,000 lines, and the end of a line that is still being written and very long."""
        num_old = max(0, len(self._lines) - _MOST_LINES)
        del self._lines[:num_old]
        self._row = max(0, self._row - num_old)
        if self._row < len(self._lines):
            self._lines[self._row] = self._lines[self._row][-_LONGEST_LINE:]

    def lines(self) -> list[str]:
        """The lines as they stand now."""
        return [*self._lines]


class LogTail:
    """Follows a log that grows. Only what is new is read.

    Args:
        path: The log; it need not be there yet.
        from_start: Whether the first `new_text` is all of it. Otherwise a call reads at most the last 64 KiB,
            and what was written before them since the last call is skipped.
        at: The byte to begin at.

    Attributes:
        at: The byte up to which it has been read.
    """

    def __init__(self, path: Path, *, from_start: bool = False, at: int = 0) -> None:
        self._path = path
        self._skips = not from_start
        self.at = at
        self._restart()

    def _restart(self) -> None:
        # Bytes that are no text are replaced; a character may be written in two halves.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._printed = PrintedLines()

    def new_text(self) -> str:
        """What has been written since the last call, escapes and all; bytes that are no text are replaced."""
        try:
            size = self._path.stat().st_size
            if size == self.at:
                return ""
            if self.at > size or (self._skips and size - self.at > _MOST_BYTES):
                self.at = max(0, size - _MOST_BYTES)
                self._restart()
            with self._path.open("rb") as file:
                file.seek(self.at)
                data = file.read(size - self.at)
        except OSError:
            return ""
        self.at += len(data)
        return self._decoder.decode(data)

    def lines(self) -> list[str]:
        """The last lines, those of the last call included."""
        text = self.new_text()  # starts again where something is skipped
        self._printed.add(text)
        self._printed.forget_old()
        return self._printed.lines()


def readable_lines(text: str) -> list[str]:
    """Return the lines of ``text`` as a terminal would leave them, without any escape sequence."""
    printed = PrintedLines()
    printed.add(text, is_end=True)
    return printed.lines()
