"""The gradient check: its progress, then its result, layer by layer."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from vgrad.gradcheck.check import GradCheck
from vgrad_tui.draw.numbers import safe, sci
from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.control_list import check_in_short

_BAR = 30


class GradientCheckScreen(Dialog[bool]):
    """Shows how far a running check is; esc closes the dialog and the check goes on.

    Args:
        state: The run.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("g", "app.check", "check again", id="check.again")]

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state
        self._shown = Text()
        self._is_composed = False

    def compose(self) -> ComposeResult:
        """Make room for the result."""
        with VerticalScroll(classes="box"):
            yield Static(Text("gradient check", style="bold"))
            yield Static(id="check")
            yield Static(Text("g checks again, esc closes this"), classes="hint")

    def on_mount(self) -> None:
        """Show what there is."""
        self._is_composed = True
        self.refresh_view()

    def refresh_view(self) -> None:
        """Show how far it is, or the result."""
        if not self._is_composed:
            return
        state = self._state
        text = Text("".join(part for part, _ in check_in_short(state)))
        if state.checking is not None:
            full = _BAR * state.checking.done // max(1, state.checking.total)
            text.append(f"\n{'█' * full}{'░' * (_BAR - full)}")
        elif state.checked is not None and state.pending_on("check") is None:
            text.append(f"\n\n{table(state.checked.check)}")
        if text != self._shown:
            self._shown = text
            self.query_one("#check", Static).update(text)


def table(check: GradCheck) -> str:
    """The worst relative error of each layer, the largest first; layers without one come last."""
    named = sorted(
        zip(check.errors, check.layers, strict=True),
        key=lambda row: -math.inf if math.isnan(row[0]) else row[0],
        reverse=True,
    )
    lines = [f"worst relative error by layer, tolerance {check.tolerance:g}:"]
    for error, layer in named:
        if math.isnan(error):
            lines.append(f"      –  {safe(layer)}  (nothing to compare)")
        else:
            lines.append(f"{sci(error)}  {safe(layer)}{'' if error <= check.tolerance else '  ✗'}")
    if check.worst is not None:
        worst = check.worst
        lines += [
            "",
            f"worst entry: {safe(worst.parameter)}{list(worst.index)}",
            f"  autograd {worst.autograd:.8g}",
            f"  numeric  {worst.numeric:.8g}",
        ]
    return "\n".join(lines)
