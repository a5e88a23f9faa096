"""Asks by which scheme the weights are re-initialised, and says what that means."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from vgrad.methods.init_schemes import REINITS
from vgrad_tui.screens.dialog import Dialog


class ReinitScreen(Dialog[str | None]):
    """A list of schemes; the answer is the chosen one, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,i", "dismiss(None)", "keep the weights", id="reinit.no"),
    ]

    def compose(self) -> ComposeResult:
        """Say what it does, then list the schemes."""
        warning = Text.assemble(
            ("Re-initialise all weights?\n", "bold"),
            "What the model has learned is lost until ",
            ("u", "bold"),
            " restores it, with the optimizer's state.",
        )
        options = [
            Option(Text.assemble((f"{scheme:<14} ", "bold"), description), id=scheme)
            for scheme, description in REINITS.items()
        ]
        with Vertical(classes="box"):
            yield Static(warning)
            yield OptionList(*options, id="schemes")
            yield Static(Text("enter replaces them at the next step; esc keeps them"), classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(event.option_id)
