"""Asks whether to end training."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from vgrad_tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from vgrad_tui.state.run_state import State


class StopRequest:
    """How a run of another process is asked to end, in words.

    Args:
        by: The signal that its process gets; None where the run is asked to end after its step.

    Attributes:
        asked: What is asked for.
        done: What happens after that.
    """

    def __init__(self, by: signal.Signals | None) -> None:
        if by is None:
            self.asked, self.done = "end it after this step", "stopping after this step"
        elif by is signal.SIGINT:
            self.asked, self.done = "interrupt it, as Ctrl-C would", "it is being interrupted"
        else:
            self.asked = f"terminate it ({by.name}), for it ignores Ctrl-C"
            self.done = f"{by.name} is sent to it"


class QuitScreen(Dialog[bool]):
    """Asks whether to stop training and quit.

    Args:
        state: The run; how it stands is shown while the question is open.
        is_saved: Whether the run's state is saved as it ends.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,q,enter,ctrl+c", "dismiss(True)", "quit", id="quit.yes"),
        Binding("n,escape", "dismiss(False)", "stay", id="quit.no"),
    ]

    def __init__(self, state: State, *, is_saved: bool = False) -> None:
        super().__init__()
        self._state = state
        self._cost = "Quit? Its state is saved." if is_saved else "Quit and lose the weights?"

    def compose(self) -> ComposeResult:
        """Ask."""
        with Vertical(classes="box"):
            yield Static(self._question())

    def refresh_view(self) -> None:
        """Show how the run stands meanwhile."""
        self.query_one(Static).update(self._question())

    def _question(self) -> Text:
        return Text.assemble(
            (f"{_standing(self._state)}. {self._cost}\n\n", ""),
            ("y", "bold"), " or ", ("q", "bold"), "  stop after this step and quit\n",
            ("n", "bold"), " or ", ("esc", "bold"), "  stay",
        )  # fmt: skip


class StopScreen(QuitScreen):
    """Asks before a run of another process is ended, for everybody who watches it.

    Args:
        state: The run; how it stands is shown while the question is open.
        how: How it is asked to end.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("Q", "dismiss(True)", "stop", show=False)]

    def __init__(self, state: State, how: StopRequest) -> None:
        super().__init__(state)
        self._how = how

    def _question(self) -> Text:
        return Text.assemble(
            (f"{_standing(self._state)}, in another process. End it?\n\n", ""),
            ("y", "bold"), " or ", ("Q", "bold"), f"  {self._how.asked}\n",
            ("n", "bold"), " or ", ("esc", "bold"), "  let it run; q at the screen leaves it running",
        )  # fmt: skip


def _standing(state: State) -> str:
    how = {"training": "is running", "paused": "is paused"}.get(state.phase, "has ended")
    return f"Training {how}, at step {state.step:,}"
