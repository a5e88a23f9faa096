"""What the script of a run has printed: the end of its log, which is followed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from vgrad.store.log import LogTail
from vgrad_tui.screens.dialog import Dialog

_LOOK_S = 0.25


class OutputScreen(Dialog[bool]):
    """The end of a run's log. Escape sequences in it are left out, never carried out."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("o", "dismiss(False)", "close", show=False)]

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = LogTail(log)
        self._shown: list[str] | None = None

    def compose(self) -> ComposeResult:
        """Show the lines."""
        with VerticalScroll(classes="box", id="output-box"):
            yield Static(id="output", markup=False)

    def on_mount(self) -> None:
        """Follow the log."""
        self.refresh_view()
        self.set_interval(_LOOK_S, self.refresh_view)

    def refresh_view(self) -> None:
        """Show what is new, and stay at the end unless somebody has scrolled up."""
        lines = self._log.lines()
        if lines == self._shown:
            return
        box = self.query_one(VerticalScroll)
        is_at_end = self._shown is None or box.scroll_offset.y >= box.max_scroll_y
        self._shown = lines
        self.query_one(Static).update(Text("\n".join(lines) or "it has printed nothing"))
        if is_at_end:
            box.scroll_end(animate=False)
