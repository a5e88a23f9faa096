"""Asks by which scheme the weights are re-initialised, and says what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from vgrad.methods.init_schemes import REINITS
from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.state.control_guide import WEIGHTS, obstacle

if TYPE_CHECKING:
    from vgrad.events.run_info import RunInfo


class ReinitScreen(Dialog[str | None]):
    """A list of schemes; the answer is the chosen one, or None.

    Args:
        info: What the run is. A scheme that it cannot use cannot be chosen, and is listed with the reason.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,i", "dismiss(None)", "keep the weights", id="reinit.no"),
    ]

    def __init__(self, info: RunInfo | None) -> None:
        super().__init__()
        self._info = info

    def compose(self) -> ComposeResult:
        """Say what it does, then list the schemes."""
        warning = Text.assemble(
            ("Re-initialise all weights?\n", "bold"),
            "What the model has learned is lost until ",
            ("u", "bold"),
            " restores it, with the optimizer's state.",
        )
        options = []
        for scheme, description in REINITS.items():
            reason = obstacle(WEIGHTS, self._info, scheme)
            text = Text.assemble((f"{scheme:<14} ", "bold"), f"– {reason}" if reason else description)
            options.append(Option(text, id=scheme, disabled=bool(reason)))
        with Vertical(classes="box"):
            yield Static(warning)
            yield OptionList(*options)
            yield Static(Text("enter replaces them at the next step; esc keeps them"), classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(event.option_id)
