"""The ranks of a training over several processes: which is slowest, which wait, which is not finite."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from vgrad_tui.draw.runs import wrapped
from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.state.rank_table import rank_findings, rank_table
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.lines import ROLE_CLASSES, Lines


class RanksScreen(Dialog[bool]):
    """A row for each rank, which follows the run."""

    COMPONENT_CLASSES = ROLE_CLASSES

    BINDINGS: ClassVar[list[BindingType]] = [Binding("R", "dismiss(False)", "close", show=False)]

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def compose(self) -> ComposeResult:
        """Show the rows."""
        with VerticalScroll(classes="box", id="ranks-box"):
            yield Lines(id="ranks")
            yield Static(Text("esc closes this"), classes="hint")

    def on_mount(self) -> None:
        """Fill it once its size is known."""
        self.call_after_refresh(self.refresh_view)

    def refresh_view(self) -> None:
        """Show what is new."""
        lines = self.query_one(Lines)
        ranks, width = self._state.ranks, lines.size.width
        findings = [line for row in rank_findings(ranks) for line in wrapped(row, width)]
        rows = [*findings, *rank_table(ranks)]
        lines.styles.height = len(rows)
        lines.show(rows)
