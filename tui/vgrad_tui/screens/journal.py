"""The whole journal, for screens that have no room for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from vgrad.run.journal import Entry
from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.widgets.journal import Journal
from vgrad_tui.widgets.lines import ROLE_CLASSES


class JournalScreen(Dialog[bool]):
    """The whole journal, for screens that have no room for it."""

    COMPONENT_CLASSES = ROLE_CLASSES

    BINDINGS: ClassVar[list[BindingType]] = [Binding("j", "dismiss(False)", "close", show=False)]

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._entries = entries

    def compose(self) -> ComposeResult:
        """Show the entries."""
        with Vertical(classes="box", id="journal-box"):
            journal = Journal(id="journal-screen")
            journal.can_focus = True
            yield journal

    def on_mount(self) -> None:
        """Fill it once its size is known."""
        self.call_after_refresh(self.refresh_view)

    def refresh_view(self) -> None:
        """Show what is new."""
        self.query_one(Journal).update(self._entries)
