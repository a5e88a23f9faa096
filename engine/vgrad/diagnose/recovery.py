"""Whether a run that was thrown off ever learns again."""

from __future__ import annotations

import math

from vgrad.diagnose.explosions import ExplosionWatch
from vgrad.diagnose.gradient_ends import GradientEnds
from vgrad.diagnose.losses import STALL_STEPS, STANDS_STILL, LossTrend
from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.symptoms import RATIO_HOPELESS

_LEARNT_AGAIN = 0.1  # of the loss at which a run was lost


class Recovery(JudgePart):
    """Says when an explosion has left a run where it learns no more, until it does.

    A run that exploded in its first steps and stands well below its first loss may have learnt, or
    have come back to a constant prediction. The first layer tells: a saturated wreck's gets next to
    nothing.

    Once a run is called lost it stays so until the loss is a tenth lower: noise alone makes such a run
    seem to stall and to learn by turns. The default recipe's wrecks move by less in 300 steps.

    Attributes:
        loss_lost: Loss at which the run was first called lost; NaN while it is not.
        was_stalled: Whether the run had stalled before the last explosion: then the explosion is not why it
            does not learn.
        had_vanished: Whether it exploded in its first steps, and the first layer had got next to nothing at
            the very first one.
    """

    def __init__(self) -> None:
        self.loss_lost = math.nan
        self.was_stalled = False
        self.had_vanished = False

    def began(self, explosions: ExplosionWatch, losses: LossTrend, ends: GradientEnds) -> None:
        """An explosion has begun."""
        self.was_stalled = losses.is_stalled
        is_early = explosions.thrown_off_since is not None
        self.had_vanished = is_early and ends.ratio_first < RATIO_HOPELESS

    def is_lost(
        self,
        step: int,
        explosions: ExplosionWatch,
        losses: LossTrend,
        ends: GradientEnds,
        *,
        has_learnt: bool,
    ) -> bool:
        """Whether the run is lost after this step.

        Args:
            step: The step.
            explosions: What exploded, and since when.
            losses: Whether it has stalled.
            ends: Whether the first layer gets anything.
            has_learnt: Whether the loss is clearly below that of a constant prediction.
        """
        if has_learnt:
            self.loss_lost = math.nan
            return False
        since, is_wreck = explosions.unhealed_since, losses.is_stalled
        if since is None:
            since = explosions.thrown_off_since
            is_wreck = since is not None and losses.is_still and ends.is_starved
        if since is None or self.was_stalled:
            self.loss_lost = math.nan
        elif is_wreck and step - since >= STALL_STEPS and math.isnan(self.loss_lost):
            self.loss_lost = losses.now
        elif self.loss_lost - losses.now > _LEARNT_AGAIN * abs(self.loss_lost):
            self.loss_lost = math.nan
        return not math.isnan(self.loss_lost)

    def words(self, losses: LossTrend) -> str:
        """Where the loss stands."""
        if losses.is_still:
            return f"stands at {losses.now:.3g} and {STANDS_STILL}"
        return f"came to rest at {self.loss_lost:.3g} and is at {losses.now:.3g}"
