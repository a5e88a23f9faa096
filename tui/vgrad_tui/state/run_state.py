"""What the screen shows: the run's history, and what this screen has asked for. Knows nothing of Textual.

A change is shown in three steps: *pending* once a key was pressed, and *applied at step N* or
*rejected* only when the engine has said so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.controls.capabilities import EVERYTHING
from vgrad.controls.controls import Command, Controls
from vgrad.events.notices import CommandApplied, CommandRejected, RunEnded, RunStarted
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.precision import Float16
from vgrad.run.run_history import RunHistory
from vgrad_tui.state.pending_commands import PendingCommands

if TYPE_CHECKING:
    from vgrad.controls.choices import ControlValue
    from vgrad.events.batch import Batch


class State(RunHistory):
    """The history of a run, with the commands of this screen that have not been answered.

    Belongs to the UI thread.

    Attributes:
        is_recording: Whether it is a recording that is shown again, in which nothing can be changed.
        spare_clip: The clipping that ``c`` turns on while there is none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_recording = False
        self.spare_clip: ControlValue = ClipGradNorm(1.0)
        self._pending = PendingCommands()

    @property
    def pending(self) -> tuple[Command, ...]:
        """Commands that were asked for and not yet answered, oldest first."""
        return self._pending.pending

    @property
    def wanted(self) -> Controls:
        """The controls as they will be once everything asked for has been applied."""
        capabilities = EVERYTHING if self.info is None else self.info.capabilities
        return self._pending.wanted(self.controls, capabilities)

    def ask(self, command: Command, command_id: str, *, undoable: bool = True) -> None:
        """Take note that ``command`` has been submitted, and that its answer will carry this id."""
        self._pending.add(command, command_id, self.wanted, undoable=undoable)

    def pop_undo(self) -> Command | None:
        """The command that takes back the last change, or None."""
        return self._pending.pop_undo()

    def pending_on(self, topic: str) -> Command | None:
        """The newest unanswered command on a topic, or None."""
        return self._pending.on(topic)

    def take(self, batch: Batch) -> None:
        """Fold a batch in, and see which commands it answers."""
        super().take(batch)
        for notice in batch.notices:
            match notice.body:
                case CommandApplied():
                    self._pending.applied(notice.command_id)
                case CommandRejected():
                    self._pending.rejected(notice.command_id)
                case RunEnded():
                    self._pending.forget()
        if any(isinstance(notice.body, RunStarted) for notice in batch.notices):
            self.rejected = None  # a run's history from its start, as an attached screen reads it: it is old

    def show_next_part(self) -> None:
        """Speak of the next part of the run from now on; after the last comes the first."""
        numbers = sorted(self.parts)
        self.shown_part = numbers[(numbers.index(self.shown_part) + 1) % len(numbers)]

    def of_part(self, number: int) -> str:
        """Words that tell a part from the others; empty where there are no others."""
        return f" of part {number}" if len(self.parts) > 1 else ""

    @property
    def is_float16(self) -> bool:
        """Whether the passes compute in float16, where small gradients are rounded to zero."""
        return isinstance(self.controls.precision, Float16)

    def noise_scale(self) -> tuple[float, str]:
        """The gradient noise scale in samples, and where it is NaN, why it is undetermined."""
        return self.part.noise_scale(self.wanted.accumulation_steps)
