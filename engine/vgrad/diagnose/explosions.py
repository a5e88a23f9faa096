"""How long an explosion lasts: from the step that it begins at until the run has found back."""

from __future__ import annotations

import math

from vgrad.diagnose.explosion_onset import (
    EVERY,
    FEW_HIGHS,
    LEARNT_AGAIN,
    MUCH_HIGHER,
    SHORT,
    WINDOW,
    ExplosionOnset,
)
from vgrad.diagnose.first_steps import NUM_FIRST
from vgrad.diagnose.step_reach import StepReach

_FAR_BEYOND = 3.0  # times the leap of the loss that came before any long step
_SINGLE = 10.0  # times as far: a single loss that says as much as the median of forty
_LEARNT = 0.9  # of the first loss: no constant prediction is so far down
_NO_WRECK = 0.5  # of the first loss: what was thrown off answers as a constant does, and that costs more


class ExplosionWatch(ExplosionOnset):
    """Follows each explosion from its onset until the run is back where it was.

    An explosion lasts until the loss is back: weights that were thrown far off have small gradients again,
    and are no better for it. A loss is back when noise alone may hold it where it is: the median of a hundred
    losses is no higher than the upper quartile of the hundred before the explosion, which is three standard
    errors above their median. What explodes in its first steps, before it has learnt a third of its first
    loss, has no such level to come back to, and must go on to learn. Where its loss alone was high at first,
    and nobody knows what a constant prediction costs, it is well again once it is clearly below its first
    loss.

    Where the loss had become high before any long step was made, and the steps after that were long, the
    explosion is over once the loss is back at that level, unless the run was thrown far beyond it. Where half
    of the first loss is still gone, medians of forty losses say so, for single batches differ.

    A loss that has been below zero has no level to come back to: the explosion is over once its median is no
    longer high, and the run is back.

    Args:
        is_loss_known: Whether the loss can be compared with that of a constant prediction.

    Attributes:
        exploded_norm: Largest norm of the last explosion's jumps; NaN where the norm did not jump.
        evidence: The numbers of the last explosion, in words.
        unhealed_since: Step at which the last explosion began, until the run is back where it was
            before; None again from then on. Outlasts the explosion itself: a run may settle down
            and be worth nothing.
        thrown_off_since: The same of an explosion in the first steps of a run that had learnt nothing yet,
            until a tenth of the first loss is left. A first guess may be far worse than a constant
            prediction: a wreck that has come to this prediction has learnt nothing, and is well below where
            it began.
    """

    def __init__(self, *, is_loss_known: bool = True) -> None:
        super().__init__(is_loss_known=is_loss_known)
        self.exploded_norm = math.nan
        self.evidence = ""
        self.unhealed_since: int | None = None
        self.thrown_off_since: int | None = None
        self._since: int | None = None
        self._is_after_leap = False  # whether this explosion followed a leap of the loss at a calm step
        self._is_by_loss_alone = False  # whether only the loss, against the first, shows this explosion
        self._peak_loss = -math.inf  # of this explosion
        self._peak_level = -math.inf  # the same of medians of forty losses
        self._loss_healed = math.nan
        self._loss_over = math.nan

    @property
    def is_exploding(self) -> bool:
        """Whether the run explodes, as of the last step."""
        return self._since is not None

    def observe(
        self,
        step: int,
        loss: float,
        grad_norm: float,
        *,
        clipped: bool,
        update: float = math.nan,
        reach: StepReach | None = None,
        uniform: float = math.nan,
    ) -> bool:
        """Take one finite step into account; True while the run explodes.

        Args:
            step: The step.
            loss: Its loss.
            grad_norm: Norm of its gradient.
            clipped: Whether gradients are clipped.
            update: Largest share of its weights by which a layer was moved, as measured last; NaN: unknown.
            reach: What the steps so far can have done to the loss; None: anything.
            uniform: What a uniform guess costs; NaN: not known.
        """
        since = self._since
        self._remember(
            step,
            loss,
            grad_norm,
            update=update,
            reach=reach,
            uniform=uniform,
            is_exploding=since is not None,
        )
        is_another_loss = not self.is_loss_known and reach is not None and reach.is_exceeded
        if since is not None:
            self._peak_loss = max(self._peak_loss, loss)
            self._peak_level = max(self._peak_level, self._recent_loss())
            if step % EVERY == 0 and step - since >= SHORT and self._is_over():
                self._end()
        elif not is_another_loss and (onset := self._onset(step, loss, clipped=clipped)) is not None:
            self.evidence, self._is_by_loss_alone = onset
            self._begin(step)
        elif step % EVERY == 0:
            self._take_as_calm()
        self._lowest, self._highest = min(self._lowest, loss), max(self._highest, loss)
        return self._since is not None

    def _begin(self, step: int) -> None:
        self._is_after_leap = self._has_leapt(step)
        self._peak_loss = max(list(self._losses)[-EVERY:])
        self._peak_level = -math.inf
        if self.unhealed_since is None:
            self._set_goals(step)
        self._since = self.unhealed_since = step
        highest = self.recent_norm
        self.exploded_norm = highest if highest > self.calm_norm else math.nan

    def _set_goals(self, step: int) -> None:
        """Set the losses at which this explosion is over, and at which the run is back where it was."""
        first = self._first
        self._loss_healed, self._loss_over = self._calm_loss_upper, first.loss
        # Once the loss has come down by a third, it has a level to come back to.
        had_learnt = first.loss - self.calm_loss >= LEARNT_AGAIN * abs(first.loss)
        if self._num_seen <= NUM_FIRST + WINDOW and not had_learnt:
            self.thrown_off_since = step
            lowest = min(self._losses)
            self._loss_healed = lowest - LEARNT_AGAIN * abs(lowest)
        if self._num_seen - first.num_above <= NUM_FIRST or len(first.highs) >= FEW_HIGHS:
            self._loss_over -= LEARNT_AGAIN * abs(first.loss)
        if self._is_by_loss_alone:
            self._loss_healed = self._loss_over = self._loss_when_back()

    def _take_as_calm(self) -> None:
        super()._take_as_calm()
        if self.calm_loss <= self._loss_healed or self.has_no_floor:
            self.unhealed_since = None
        has_learnt = self._first.loss - self.calm_loss >= _LEARNT * abs(self._first.loss)
        if has_learnt or self.has_no_floor:
            self.thrown_off_since = None

    def _is_over(self) -> bool:
        if self._is_at_new_level():
            return True
        recent = self._recent_loss()
        if self.has_no_floor:
            return not self._is_high(recent)
        return recent <= self._loss_over and (self._is_by_loss_alone or not self._is_high(recent))

    def _end(self) -> None:
        if self._is_at_new_level() or self.has_no_floor:
            self.unhealed_since = None
            self._forget_the_level_before()
            self._take_as_calm()
        self._since = None
        self._forget_signs()

    def _is_at_new_level(self) -> bool:
        """Whether the loss is no higher than the data alone had made it, and never was much higher.

        Where half of the first loss is still gone it may be somewhat higher: no wreck is so good, and single
        batches differ.
        """
        if not self._is_after_leap:
            return False
        recent, peak = self._recent_loss(), self._peak_loss
        if recent <= _NO_WRECK * self._first.loss:
            peak = max(self._peak_level, peak / _SINGLE)
            is_back = not self._is_beyond_onset(recent, MUCH_HIGHER)
        else:
            is_back = recent <= self._onset_loss
        return is_back and not self._is_beyond_onset(peak, _FAR_BEYOND)
