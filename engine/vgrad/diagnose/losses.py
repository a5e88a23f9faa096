"""Whether the loss moves: its level, its progress, and for how long there has been none."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.slow_progress import SlowProgress

STALL_STEPS = 200  # no progress in this many steps is a stall
LOOK_EVERY = 40  # steps between two looks: stalls take their time, and looking costs some
WARM_UP = 20  # the first, steepest steps

_LEAST_PROGRESS = 0.01
_FAR_BELOW = 0.5  # of the loss that the first steps left, which may be below zero
STANDS_STILL = f"has not fallen beyond its noise or {_LEAST_PROGRESS * 100:.0f} % in {STALL_STEPS} steps"


class LossTrend(JudgePart):
    """The losses of the last 200 steps, and what they were at first.

    `observe` every step; `look` at intervals. What is said of the trend is as of the last look.

    Attributes:
        first: Loss of the first step.
        early: Loss once the first, steepest steps are over; NaN before that.
        now: Mean over the last half of a stall's steps; NaN until there are as many steps.
        is_still: Whether the loss has made no progress in 200 steps.
        is_stalled: Whether it is still, and not far below where the first steps left it.
        slow_progress: Whether it may fall all the same, too slowly for 200 steps to show it.
        spread: Standard deviation of the last 100 losses; NaN until there are 200.
        error: Standard error of ``now``.
    """

    def __init__(self) -> None:
        self.first = math.nan
        self.early = math.nan
        self.now = math.nan
        self.is_still = False
        self.is_stalled = False
        self.slow_progress = SlowProgress()
        self.num_seen = 0
        self._num_stalled = 0  # looks in a row
        self.spread = math.nan
        self.error = math.nan
        self._losses: deque[float] = deque(maxlen=STALL_STEPS)

    @property
    def stalled_for(self) -> int:
        """Steps that the run has stalled for; 0 while it learns."""
        return STALL_STEPS + LOOK_EVERY * (self._num_stalled - 1) if self._num_stalled else 0

    def observe(self, loss: float) -> None:
        """Take the finite loss of one step into account."""
        if not self.num_seen:
            self.first = loss
        self.num_seen += 1
        self._losses.append(loss)

    def look(self) -> None:
        """Say what the losses so far amount to."""
        if math.isnan(self.early) and self.num_seen > WARM_UP:
            losses = list(self._losses)
            # The first steps are steep: they find the mean answer. But not so if they explode.
            self.early = min(losses[0], float(np.median(losses[WARM_UP:])))
        self.is_still = self._stands_still()
        self.is_stalled = self.is_still and self.now > self.early - _FAR_BELOW * abs(self.early)
        self._num_stalled = self._num_stalled + 1 if self.is_stalled else 0

    @property
    def recent(self) -> float:
        """Mean of the last 20 losses; NaN before the first."""
        return float(np.mean(list(self._losses)[-WARM_UP:])) if self._losses else math.nan

    @property
    def lower_half(self) -> float:
        """The lower of the means of the last 50 losses and of the 50 before; NaN before the first."""
        if not self._losses:
            return math.nan
        newest, middle = list(self._losses)[-STALL_STEPS // 2 :], STALL_STEPS // 4
        return min(float(np.mean(half)) for half in (newest[:middle], newest[middle:]) if half)

    def learnt_since(self, loss: float) -> float:
        """By what share of ``loss`` the loss is lower now; negative: it is higher."""
        return (loss - self.now) / max(abs(loss), 1e-30)

    @property
    def progress(self) -> float:
        """By how many standard errors the loss is lower now than where the first steps left it."""
        gone = self.early - self.now
        return gone / self.error if self.error > 0 else math.copysign(math.inf, gone) if gone else 0.0

    def _stands_still(self) -> bool:
        if len(self._losses) < STALL_STEPS:
            return False
        halves = np.array(self._losses).reshape(2, -1)
        before, after = float(halves[0].mean()), float(halves[1].mean())
        variance = float(halves.var(axis=1).sum())
        self.spread, self.error = float(halves[1].std()), math.sqrt(variance / 2 / halves.shape[1])
        # Small batches make losses noisy: a difference of less than 3 standard errors is no progress.
        error = math.sqrt(variance / halves.shape[1])
        progress = max(_LEAST_PROGRESS * abs(before), 3.0 * error)
        self.now = after
        self.slow_progress.look(self.num_seen, halves, error=error, least=progress)
        return before - after < progress
