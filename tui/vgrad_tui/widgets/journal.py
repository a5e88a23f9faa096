"""Every command and event, newest at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vgrad_tui.format import safe
from vgrad_tui.state import Entry
from vgrad_tui.widgets.lines import Roles, Runs

_ROLES = {"asked": "dim", "applied": "accent", "rejected": "warn", "verdict": "strong", "run": "dim"}


class Journal(Roles, ScrollView, can_focus=False):
    """The journal; follows its end unless it was scrolled away from it."""

    def __init__(self, *, id: str = "journal") -> None:
        super().__init__(id=id)
        self._entries: Sequence[Entry] = ()
        self._last: Entry | None = None

    def update(self, entries: Sequence[Entry]) -> None:
        """Show these entries, if the last one is new."""
        if not entries or entries[-1] is self._last:
            return
        follow = self.is_vertical_scroll_end
        self._entries = entries
        self._last = entries[-1]
        self.virtual_size = Size(0, len(entries))
        if follow:
            self.scroll_end(animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one entry."""
        row = self.scroll_offset.y + y
        runs: Runs = ()
        if row < len(self._entries):
            entry = self._entries[row]
            runs = [(f"{entry.clock}  ", "dim"), (safe(entry.text), _ROLES[entry.kind])]
        return self.strip(runs, self.size.width)
