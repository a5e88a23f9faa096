"""Asks for the step of a recording to go to."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.widgets.text_field import TextField


class SeekScreen(Dialog[int | None]):
    """Asks for a step.

    Args:
        last_step: The last step of the recording.
    """

    BINDINGS = [("escape", "dismiss(None)", "close")]  # noqa: RUF012  # an instance variable to Textual's types

    def __init__(self, last_step: int) -> None:
        super().__init__()
        self._last_step = last_step

    def compose(self) -> ComposeResult:
        """Ask."""
        with Vertical(classes="box"):
            yield Static(Text(f"Go to step, 1 to {self._last_step:,}; esc closes this"))
            yield TextField(placeholder="step", id="seek")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(TextField).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go there, if it is a number."""
        text = event.value.replace(",", "").strip()
        self.dismiss(int(text) if text.isdecimal() and len(text) < 19 else None)
