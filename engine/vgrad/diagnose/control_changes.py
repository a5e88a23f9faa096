"""Since when a run has been trained under the controls that it has now."""

from __future__ import annotations

from dataclasses import replace

from vgrad.controls.controls import Controls
from vgrad.diagnose.losses import STALL_STEPS
from vgrad.diagnose.part import JudgePart


class ControlChanges(JudgePart):
    """Remembers when the controls changed last: what happened before is not their doing.

    Attributes:
        changed_at: Step from which on the controls are what they are; 0 if they never changed.
    """

    def __init__(self) -> None:
        self.changed_at = 0
        self._controls: Controls | None = None

    def observe(self, step: int, controls: Controls) -> None:
        """Take the controls of one step into account. Pausing is no change of training."""
        if controls is self._controls:
            return  # at most steps
        if self._controls is not None and replace(self._controls, paused=controls.paused) != controls:
            self.changed_at = step
        self._controls = controls

    def are_tried(self, step: int) -> bool:
        """Whether the controls have been as they are for as long as it takes to see what they do."""
        return not self.changed_at or step - self.changed_at >= STALL_STEPS
