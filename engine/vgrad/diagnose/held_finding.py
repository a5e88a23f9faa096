"""For how long a finding is held, so that numbers near a threshold do not make verdicts flip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vgrad.diagnose.finding import FINDING_RULES
from vgrad.diagnose.losses import LOOK_EVERY, STALL_STEPS
from vgrad.diagnose.part import JudgePart

if TYPE_CHECKING:
    from vgrad.diagnose.finding import Finding
    from vgrad.diagnose.losses import LossTrend
    from vgrad.events.verdict import Verdict

_LOOKS_OTHER = 2  # in a row
_LOOKS_LEARNING = STALL_STEPS // LOOK_EVERY  # a single step down looks like progress for as long
_LEARNT = 0.1  # of the loss at which something was found: a run that has come so far learns


class HeldFinding(JudgePart):
    """Compares what is found at a look with the verdict so far.

    A verdict that rests on a finding is held while the loss stands still and nothing else is found. Another
    kind of sickness takes its place after two looks in a row, and a loss that moves again after 200 steps:
    both come and go with the noise of the losses. A loss that is a tenth lower ends it at once, and so does a
    control that was changed.
    """

    def __init__(self) -> None:
        self._loss = math.nan  # when it was found
        self._step = 0
        self._num_other = 0
        self._num_learning = 0

    def keeps(
        self,
        held: Verdict,
        finding: Finding | None,
        losses: LossTrend,
        *,
        step: int,
        changed_at: int,
        is_refuted: bool = False,
    ) -> bool:
        """Whether ``held`` stays, after what was found at a look.

        Args:
            held: The verdict so far.
            finding: What is found now.
            losses: The losses as of this look.
            step: The step.
            changed_at: Step since which the controls are as they are.
            is_refuted: Whether it is known by now that ``held`` is wrong.
        """
        is_held = held.rule in FINDING_RULES
        if not is_held or changed_at > self._step or is_refuted:
            self._begin(losses, step)
            return is_held and finding is None and losses.is_stalled and not is_refuted
        if finding is not None and finding.kind == held.kind:
            self._num_other = self._num_learning = 0
            return False
        if finding is not None:
            self._num_other += 1
            is_kept = self._num_other < _LOOKS_OTHER
        elif losses.is_stalled:
            self._num_learning = 0
            is_kept = True
        else:
            self._num_learning += 1
            has_learnt = self._loss - losses.now > _LEARNT * abs(self._loss)
            is_kept = self._num_learning < _LOOKS_LEARNING and not has_learnt
        if not is_kept:
            self._begin(losses, step)
        return is_kept

    def _begin(self, losses: LossTrend, step: int) -> None:
        self._loss, self._step = losses.now, step
        self._num_other = self._num_learning = 0
