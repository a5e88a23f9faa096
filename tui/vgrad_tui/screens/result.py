"""How the run ended."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from vgrad_tui.draw.numbers import safe
from vgrad_tui.screens.dialog import Dialog


class ResultScreen(Dialog[bool]):
    """How the run ended; a traceback can be scrolled.

    Args:
        title: One line.
        text: The rest, shown as it is.
    """

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Show title and text."""
        body = "\n".join(safe(line) for line in self._text.splitlines())
        with VerticalScroll(classes="box"):
            yield Static(Text(safe(self._title), style="bold"))
            yield Static(Text(body), id="traceback")
            yield Static(Text("esc closes this, q then quits"), classes="hint")
