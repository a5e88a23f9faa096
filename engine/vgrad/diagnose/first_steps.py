"""What the first steps of a run did to its loss, and for how long it has been far above where it began."""

from __future__ import annotations

import math
from statistics import median

from vgrad.diagnose.part import JudgePart

NUM_FIRST = 20  # steps; norms alone say nothing in them, for they have hardly a past
NEXT = 100  # the steps after these, whose losses show whether the first ones were unusual

_FAR_ABOVE = 0.5  # of the loss that losses are compared with
_THROWN = 0.1  # of a layer's weights in one step
_TRIPLED, _FAR_UP = 3.0, 5.0  # times the first norm or loss
_EARLY = 3  # losses whose median is less a matter of luck than the very first one


class FirstSteps(JudgePart):
    """Remembers where a run began, and counts the losses that are far above that.

    Args:
        is_loss_known: Whether the loss can be compared with that of a constant prediction.

    Attributes:
        loss: The first loss; NaN before it.
        highs: Losses far above the first, of the first twenty steps.
        num_late_highs: How many of the hundred losses after these are as far above it.
        num_above: Losses in a row that were far above the first; where it is not known what a constant
            prediction costs, a row that begins later is compared with the median of the first three losses
            if that is higher: a single one may have been low by luck.
    """

    def __init__(self, *, is_loss_known: bool) -> None:
        self.loss = math.nan
        self.highs: list[float] = []
        self.num_late_highs = 0
        self.num_above = 0
        self._is_loss_known = is_loss_known
        self._num_seen = 0
        self._norm = math.nan
        self._peak_loss = -math.inf
        self._peak_norm = -math.inf
        self._lowest = math.inf  # of all losses
        self._longest_update = 0.0
        self._earliest: list[float] = []
        self._compared_with = math.nan

    def observe(self, loss: float, grad_norm: float, update: float) -> None:
        """Take one finite step into account, and how far a layer was moved at most; NaN: unknown."""
        self._num_seen += 1
        if self._num_seen == 1:
            self.loss, self._norm = loss, grad_norm
        self._longest_update = max(self._longest_update, update)  # NaN is not larger
        self._lowest = min(self._lowest, loss)
        if self._num_seen <= NUM_FIRST:
            self._peak_loss = max(self._peak_loss, loss)
            self._peak_norm = max(self._peak_norm, grad_norm)
        if self._num_seen <= _EARLY:
            self._earliest.append(loss)
        if not self.num_above:
            is_later = self._num_seen > NUM_FIRST and not self._is_loss_known
            self._compared_with = max(self.loss, median(self._earliest)) if is_later else self.loss
        self.num_above = self.num_above + 1 if _is_far_above(self._compared_with, loss) else 0
        if _is_far_above(self.loss, loss):
            if self._num_seen <= NUM_FIRST:
                self.highs.append(loss)
            elif self._num_seen <= NUM_FIRST + NEXT:
                self.num_late_highs += 1

    @property
    def has_thrown(self) -> bool:
        """Whether a step moved a layer by a tenth of its weights, or the first steps raised norm and loss."""
        has_risen = _is_far_above(self.loss, self._peak_loss)
        return self._longest_update >= _THROWN or (has_risen and self._has_tripled())

    def is_thrown_early(self, uniform: float) -> bool:
        """Whether the first steps have thrown the weights: a loss alone may rise for many reasons.

        One of them is a first loss that was lower than any that lasts, as while nothing that is hard to tell
        apart has been seen yet. Weights that are thrown answer no better than a guess does: a loss that rises
        without its gradient, and remains below that, shows nothing.

        Args:
            uniform: What a uniform guess costs; NaN: not known.
        """
        if self._longest_update >= _THROWN:
            return True
        if not self._lowest > 0:
            return False  # ratios of losses around zero mean nothing
        rise = self._peak_loss / self.loss
        has_risen_far = rise >= _FAR_UP and not self._peak_loss < uniform
        return has_risen_far or (rise >= _TRIPLED and self._has_tripled())

    def _has_tripled(self) -> bool:
        return self._peak_norm >= _TRIPLED * self._norm


def _is_far_above(level: float, loss: float) -> bool:
    return loss - level > _FAR_ABOVE * abs(level)
