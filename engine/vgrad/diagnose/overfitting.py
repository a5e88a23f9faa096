"""Whether a run learns its training data alone: its training loss falls on, its validation loss rises."""

from __future__ import annotations

import math
from collections import deque

from vgrad.diagnose.part import JudgePart

_AVERAGE = 100  # steps whose mean is the training loss
_RISEN = 0.1  # of the lowest validation loss: noise of small validation sets is less
_FALLEN = 0.05  # of the training loss at that time
_LEARNT = 0.85  # of the loss of a constant prediction


class Overfitting(JudgePart):
    """Compares validation losses with the training loss at the same steps.

    Claims overfitting on one of two grounds. The newest validation loss is a tenth above the lowest one, and
    the training loss has fallen since then. Or, which one validation is enough for, the validation loss is
    above that of a constant prediction, and the training loss is clearly below it. A run whose losses both
    rise explodes, and is not meant.

    Args:
        baseline: Loss of a constant prediction; NaN where it is not known.
    """

    def __init__(self, baseline: float) -> None:
        self._baseline = baseline
        self._losses: deque[float] = deque(maxlen=_AVERAGE)
        self._lowest = math.nan
        self._train_at_lowest = math.nan
        self._lowest_step = 0
        self._now = math.nan
        self._train_now = math.nan

    def observe(self, loss: float) -> None:
        """Take the finite training loss of one step into account."""
        self._losses.append(loss)

    def validated(self, step: int, loss: float) -> None:
        """Take the validation loss after ``step`` into account; one that is not finite says nothing."""
        if not math.isfinite(loss) or not self._losses:
            return
        self._now, self._train_now = loss, sum(self._losses) / len(self._losses)
        if not loss >= self._lowest:
            self._lowest, self._lowest_step, self._train_at_lowest = loss, step, self._train_now

    @property
    def _has_turned(self) -> bool:
        risen = self._now - self._lowest > _RISEN * abs(self._lowest)
        fallen = self._train_at_lowest - self._train_now > _FALLEN * abs(self._train_at_lowest)
        return risen and fallen

    @property
    def is_found(self) -> bool:
        """Whether the newest validation loss shows it."""
        is_worthless = self._now > self._baseline and self._train_now < _LEARNT * self._baseline
        return self._has_turned or is_worthless

    def words(self) -> str:
        """The numbers."""
        if self._has_turned:
            return (
                f"validation loss {self._lowest:.3g} (step {self._lowest_step:,}) → {self._now:.3g} while the"
                f" training loss went {self._train_at_lowest:.3g} → {self._train_now:.3g}"
            )
        return (
            f"validation loss {self._now:.3g}, above the {self._baseline:.3g} of a constant prediction, at a"
            f" training loss of {self._train_now:.3g}"
        )
