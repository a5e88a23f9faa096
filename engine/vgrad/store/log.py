"""What a script has printed into the log of its run's folder, as lines that are safe to show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vgrad.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 64 * 2**10
_MOST_LINES = 1000
# Colours and cursor moves, titles and links, and other escapes. They are left out, never carried out.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


class LogTail:
    """Follows a log that grows.

    Args:
        path: The log; it need not be there yet.
        from_start: Whether the first `new_text` is all of it; otherwise at most the last 64 KiB.
    """

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        self._path = path
        self._at: int | None = 0 if from_start else None
        self._text = ""

    def new_text(self) -> str:
        """What has been written since the last call, escapes and all; bytes that are no text are replaced."""
        try:
            size = self._path.stat().st_size
            if self._at is None or self._at > size:
                self._at = max(0, size - _MOST_BYTES)
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError:
            return ""
        self._at += len(data)
        return data.decode("utf-8", errors="replace")

    def lines(self) -> list[str]:
        """The last lines, those of the last call included."""
        self._text = (self._text + self.new_text())[-_MOST_BYTES:]
        return readable_lines(self._text)[-_MOST_LINES:]


def readable_lines(text: str) -> list[str]:
    """Return the lines of ``text`` as a terminal would leave them, without any escape sequence.

    Of a line that was drawn over by carriage returns, as progress bars do, the last state counts.
    """
    lines = []
    for line in _ESCAPES.sub("", text).removesuffix("\n").split("\n"):
        states = [state for state in line.expandtabs().split("\r") if state]
        lines.append(printable(states[-1]) if states else "")
    return lines if text else []
