"""Asks for the checkpoint to go back to, and says what that means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from vgrad_tui.screens.dialog import Dialog


class RewindScreen(Dialog[int | None]):
    """A list of steps; the answer is the chosen one, or None.

    Args:
        steps: Steps whose state is saved, the newest first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,b", "dismiss(None)", "train on", id="rewind.no"),
    ]

    def __init__(self, steps: Sequence[int]) -> None:
        super().__init__()
        self._steps = steps

    def compose(self) -> ComposeResult:
        """Say what it does, then list the steps."""
        words = Text.assemble(
            ("Rewind to which step?\n", "bold"),
            "This run ends and keeps its record; a run of its own goes on from there.",
        )
        with Vertical(classes="box"):
            yield Static(words)
            yield OptionList(*(Option(f"step {step:,}", id=str(step)) for step in self._steps))
            yield Static(Text("enter rewinds; esc trains on"), classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        assert event.option_id is not None
        self.dismiss(int(event.option_id))
