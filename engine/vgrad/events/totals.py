"""The first and the newest numbers of a run: enough to sum it up at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vgrad.events.notices import RunEnded

if TYPE_CHECKING:
    from vgrad.events.step_record import StepRecord


@dataclass(slots=True)
class Totals:
    """The first and the newest numbers of a run, kept by the training thread.

    Attributes:
        step: Optimizer steps reported.
        loss_first: Training loss of the first step; None before it, or where it is not known.
        loss_last: Training loss of the newest step; None likewise.
        elapsed_s: Seconds of training, pauses and validation left out.
        validated_step: Step of the newest validation; 0 for none, for step 0 needs none.
        val_loss: Its loss.
    """

    step: int = 0
    loss_first: float | None = None
    loss_last: float | None = None
    elapsed_s: float = 0.0
    validated_step: int = 0
    val_loss: float | None = None

    def observe(self, record: StepRecord) -> None:
        """Take a step into account."""
        if record.step == 1:
            self.loss_first = record.loss
        self.step = record.step
        self.loss_last = record.loss
        self.elapsed_s = record.elapsed_s

    def validated(self, step: int, loss: float) -> None:
        """Take a validation into account."""
        self.validated_step = step
        self.val_loss = loss

    def ended(
        self,
        reason: Literal["done", "stopped", "failed"],
        error: str | None = None,
        traceback_text: str | None = None,
        message: str | None = None,
    ) -> RunEnded:
        """The run's last notice."""
        return RunEnded(
            step=self.step,
            reason=reason,
            loss_first=self.loss_first,
            loss_last=self.loss_last,
            val_loss=self.val_loss,
            steps_per_s=self.step / self.elapsed_s if self.elapsed_s > 0 else 0.0,
            error=error,
            traceback_text=traceback_text,
            message=message,
        )
