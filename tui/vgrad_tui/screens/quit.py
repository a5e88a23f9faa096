"""Asks whether to end training."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from vgrad_tui.screens.dialog import Dialog


class QuitScreen(Dialog[bool]):
    """Asks whether to stop training and quit.

    Args:
        step: Steps that have been done.
        is_saved: Whether the run's state is saved as it ends.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,q,enter,ctrl+c", "dismiss(True)", "quit", id="quit.yes"),
        Binding("n,escape", "dismiss(False)", "stay", id="quit.no"),
    ]

    def __init__(self, step: int, *, is_saved: bool = False) -> None:
        super().__init__()
        self._cost = "Quit? Its state is saved." if is_saved else "Quit and lose the weights?"
        self._step = step

    def compose(self) -> ComposeResult:
        """Ask."""
        text = Text.assemble(
            (f"Training is running, at step {self._step:,}. {self._cost}\n\n", ""),
            ("y", "bold"), " or ", ("q", "bold"), "  stop after this step and quit\n",
            ("n", "bold"), " or ", ("esc", "bold"), "  stay",
        )  # fmt: skip
        with Vertical(classes="box"):
            yield Static(text)


class StopScreen(QuitScreen):
    """Asks before a run of another process is ended, for everybody who watches it.

    Args:
        step: Steps that have been done.
        is_interrupted: Whether it is a loop that knows no stop and is interrupted, wherever it is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("Q", "dismiss(True)", "stop", show=False)]

    def __init__(self, step: int, *, is_interrupted: bool) -> None:
        super().__init__(step)
        self._how = "interrupt it, as Ctrl-C would" if is_interrupted else "end it after this step"

    def compose(self) -> ComposeResult:
        """Ask."""
        text = Text.assemble(
            (f"Training runs in another process, at step {self._step:,}. End it?\n\n", ""),
            ("y", "bold"), " or ", ("Q", "bold"), f"  {self._how}\n",
            ("n", "bold"), " or ", ("esc", "bold"), "  let it run; q at the screen leaves it running",
        )  # fmt: skip
        with Vertical(classes="box"):
            yield Static(text)
