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
_BLANK_HEAD = " " * _INDENT
_FEWEST_CELLS = 10  # of text on a line
_MOST_ROWS = 20_000


class Journal(Roles, ScrollView, can_focus=False):
    """The journal; follows its end unless it was scrolled away from it.

    While it follows, its top row is the first of an entry; blank rows below the last entry make up for that.
    """

    def __init__(self, *, id: str = "journal") -> None:
        super().__init__(id=id)
        self._entries: Sequence[Entry] = ()
        self._last: Entry | None = None
        self._before_last: Entry | None = None
        self._rows_of_last = 0
        self._rows: deque[Runs] = deque(maxlen=_MOST_ROWS)
        self._strips: dict[int, Strip] = {}
        self._end = 0  # the row that is on top where the end is followed
        self._is_following = True

    def update(self, entries: Sequence[Entry]) -> None:
        """Show these entries, if the last one is new."""
        if not entries or entries[-1] is self._last:
            return
        follow = self._is_following  # another size may move what is shown
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
        self._end = self._top_of_end()
        self.virtual_size = Size(0, max(len(self._rows), self._end + self.size.height))
        if follow:
            self.scroll_to(y=self._end, animate=False, force=True, immediate=True)
        self._is_following = follow
        self.refresh()

    def _top_of_end(self) -> int:
        """First row of the oldest entry from which on everything fits, or else of the last entry."""
        first = max(0, len(self._rows) - self.size.height)
        starts = (row for row in range(first, len(self._rows)) if _begins_entry(self._rows[row]))
        return next(starts, len(self._rows) - self._rows_of_last)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody has scrolled, or the height has changed."""
        super().watch_scroll_y(old_value, new_value)
        self._is_following = new_value >= min(self._end, self.max_scroll_y)

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


def _begins_entry(row: Runs) -> bool:
    return row[0][0] != _BLANK_HEAD


def _rows(entry: Entry, width: int) -> list[Runs]:
    """An entry, in as many rows as it takes."""
    role = _ROLES[entry.kind]
    lines = wrapped([(safe(entry.line), role)], max(_FEWEST_CELLS, width - _INDENT))
    pieces = ["".join(text for text, _ in line).rstrip() for line in lines]
    clock = time.strftime("%H:%M:%S", time.localtime(entry.time_s))
    heads = [f"{clock}  ", *[_BLANK_HEAD] * (len(pieces) - 1)]
    return [[(head, "dim"), (piece, role)] for head, piece in zip(heads, pieces, strict=True)]
