"""Every command and event, newest at the bottom."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vgrad.run.journal import Entry
from vgrad_tui.draw.numbers import safe
from vgrad_tui.draw.runs import Runs, wrapped
from vgrad_tui.widgets.lines import Roles

_ROLES = {"applied": "accent", "rejected": "warn", "verdict": "strong", "run": "dim"}
_INDENT = len("23:59:59  ")
_FEWEST_CELLS = 10  # of text on a line
_MOST_ROWS = 20_000


class Journal(Roles, ScrollView, can_focus=False):
    """The journal; follows its end unless it was scrolled away from it."""

    def __init__(self, *, id: str = "journal") -> None:
        super().__init__(id=id)
        self._entries: Sequence[Entry] = ()
        self._last: Entry | None = None
        self._before_last: Entry | None = None
        self._rows_of_last = 0
        self._rows: deque[Runs] = deque(maxlen=_MOST_ROWS)
        self._strips: dict[int, Strip] = {}

    def update(self, entries: Sequence[Entry]) -> None:
        """Show these entries, if the last one is new."""
        if not entries or entries[-1] is self._last:
            return
        follow = self.is_vertical_scroll_end
        self._entries = entries
        new: list[Entry] = []
        for entry in reversed(entries):
            if entry is self._last:
                break
            if entry is self._before_last:  # a newer one has taken the place of the last
                for _ in range(self._rows_of_last):
                    self._rows.pop()
                break
            new.append(entry)
        else:
            self._rows.clear()  # the one that was last is gone: the history has begun again
        for entry in reversed(new):
            rows = _rows(entry, self.size.width)
            self._rows.extend(rows)
            self._rows_of_last = len(rows)
        self.forget_strips()  # the oldest rows may be gone, and all others one further up
        self._last, self._before_last = entries[-1], entries[-2] if len(entries) > 1 else None
        self.virtual_size = Size(0, len(self._rows))
        if follow:
            self.scroll_end(animate=False)
        self.refresh()

    def on_resize(self) -> None:
        """Wrap the lines for the new width."""
        self._rows.clear()
        self.forget_strips()
        self._last = self._before_last = None
        self.update(self._entries)

    def row(self, y: int, width: int) -> Strip:
        """Draw one row, from memory if it is still the same."""
        index = self.scroll_offset.y + y
        strip = self._strips.get(index)
        if strip is None:
            strip = self.strip(self._rows[index] if index < len(self._rows) else (), width)
            self._strips[index] = strip
        return strip

    def forget_strips(self) -> None:
        """Draw every row again when it is next needed."""
        self._strips.clear()


def _rows(entry: Entry, width: int) -> list[Runs]:
    """An entry, in as many rows as it takes."""
    role = _ROLES[entry.kind]
    lines = wrapped([(safe(entry.line), role)], max(_FEWEST_CELLS, width - _INDENT))
    pieces = ["".join(text for text, _ in line).rstrip() for line in lines]
    clock = time.strftime("%H:%M:%S", time.localtime(entry.time_s))
    heads = [f"{clock}  ", *[" " * _INDENT] * (len(pieces) - 1)]
    return [[(head, "dim"), (piece, role)] for head, piece in zip(heads, pieces, strict=True)]
