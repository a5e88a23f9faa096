"""What a command did to the loss: more than noise, and more than would have come anyway?

Two windows of losses, before and after the command, are compared twice: with each other, and
with where the straight line through the first one leads. A loss that was falling keeps falling,
and that is no merit of the command. Consecutive losses resemble each other (neighbouring
batches, momentum), so a window of n steps counts for fewer than n independent ones.

This is a rule of thumb for a screen, not a proof: nothing but a twin of the run, trained on the
same batches without the command, can say what really caused a change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64s = NDArray[np.float64]

_TINY = 1e-3  # losses below it are written as 1.8e-4
MIN_STEPS = 20
"""Steps that each window needs: below it, how alike neighbours are cannot be told."""

MIN_SIGMAS = 2.5
"""Standard errors that are more than noise. Measured false alarms, 50 steps each side: 1 % for
independent losses, 2 to 5 % where neighbours correlate by .6, 8 % at .9 (3 % with 200 steps)."""

LOSS_RESOLUTION = 1e-7  # relative; losses are float32, so a smaller difference is rounding
LARGEST_LOSS = 1e100  # what is beyond has no square in float64, and is no loss any more


@dataclass(frozen=True, slots=True)
class Effect:
    """Two windows of losses, compared. All values in units of the loss; NaN: cannot be told.

    Attributes:
        num_before: Steps before the command.
        num_after: Steps after it.
        num_non_finite_before: How many losses before it were NaN or infinite.
        num_non_finite_after: How many after it.
        mean_before: Mean loss before; NaN if any was not finite.
        mean_after: Mean loss after; NaN if any was not finite.
        std_before: Standard deviation of single losses before.
        std_after: Standard deviation of single losses after.
        difference: ``mean_after - mean_before``.
        difference_se: Standard error of ``difference``.
        predicted: Mean loss after, if the linear trend before had gone on.
        excess: ``mean_after - predicted``: what the trend does not explain.
        excess_se: Standard error of ``excess``, that of the trend included.
    """

    num_before: int
    num_after: int
    num_non_finite_before: int
    num_non_finite_after: int
    mean_before: float
    mean_after: float
    std_before: float
    std_after: float
    difference: float
    difference_se: float
    predicted: float
    excess: float
    excess_se: float

    @property
    def enough(self) -> bool:
        """Whether both windows are long enough to be judged."""
        return min(self.num_before, self.num_after) >= MIN_STEPS

    @property
    def finite(self) -> bool:
        """Whether every loss of both windows was finite."""
        return not self.num_non_finite_before and not self.num_non_finite_after

    @property
    def beyond_noise(self) -> bool:
        """Whether the mean loss changed by more than noise."""
        return self.enough and abs(self.difference) > MIN_SIGMAS * self.difference_se

    @property
    def beyond_trend(self) -> bool:
        """Whether the mean loss after differs from the trend before by more than noise."""
        return self.enough and abs(self.excess) > MIN_SIGMAS * self.excess_se

    def words(self) -> str:
        """One honest line."""
        if not self.finite:
            return f"loss {self._window(after=False)} → {self._window(after=True)}"
        if self.num_before < MIN_STEPS:  # there will never be more
            return f"cannot be told: {self.num_before} of {MIN_STEPS} steps before it"
        if not self.enough:
            return f"not enough steps yet: {self.num_after} of {MIN_STEPS}"
        return f"loss {self._window(after=False)} → {self._window(after=True)}: {self._finding()}"

    def _finding(self) -> str:
        """Short, for it has to fit beside the numbers; the trend is what it predicted for the loss."""
        trend = f"trend ({_number(self.predicted, self._decimals())})"
        match self.beyond_noise, self.beyond_trend:
            case False, False:
                return "no more than noise"
            case False, True:
                return f"no more than noise, off the {trend}"
            case True, False:
                return f"more than noise, as the {trend} had it"
        further = self.excess * self.difference > 0
        return f"more than noise{' and' if further else ', less than the'} {trend}"

    def _window(self, *, after: bool) -> str:
        """``2.61 ± .21``, or how many losses were not finite."""
        num, bad, mean, std = (
            (self.num_after, self.num_non_finite_after, self.mean_after, self.std_after)
            if after
            else (self.num_before, self.num_non_finite_before, self.mean_before, self.std_before)
        )
        if bad:
            return f"not finite in {bad} of {num} steps"
        if not num:
            return "no steps yet"
        decimals = self._decimals()
        if math.isnan(std):
            return _number(mean, decimals)
        return f"{_number(mean, decimals)} ± {_number(std, decimals).removeprefix('0')}"

    def _decimals(self) -> int | None:
        """As many as the smaller spread needs to show a digit, 2 to 6; None where both means are tiny."""
        if 0 < max(abs(self.mean_before), abs(self.mean_after)) < _TINY:
            return None
        spreads = [std for std in (self.std_before, self.std_after) if std >= 1e-6]  # leaves out NaN, too
        return min(6, max(2, -math.floor(math.log10(min(spreads))))) if spreads else 2


def judge_effect(before: ArrayLike, after: ArrayLike) -> Effect:
    """Compare the losses before a command with those after it.

    Args:
        before: Losses of consecutive steps up to the command, shape ``(n,)``, oldest first.
        after: Losses of the steps that follow without a gap, shape ``(m,)``.

    Returns:
        What changed, and by how much more than noise. A window of any length is accepted;
        `Effect.enough` tells whether it means anything.

    Raises:
        ValueError: If an argument is not one-dimensional.

    Source:
        Standard errors from the effective sample size ``n (1 - r) / (1 + r)`` of a first-order
        autoregressive series (Bayley & Hammersley 1946, J. R. Stat. Soc. Suppl. 8, 184), with
        ``r`` measured around the linear trend and corrected for its bias in short series
        (Shaman & Stine 1988, J. Am. Stat. Assoc. 83, 842).
    """
    first, second = _Window.of(before), _Window.of(after)
    num_before, num_after = first.num, second.num
    # The middle of the window after, seen from the middle of the window before.
    ahead = (num_before + num_after) / 2
    predicted = first.mean + first.slope * ahead
    resolution = LOSS_RESOLUTION * max(abs(first.mean), abs(second.mean))
    return Effect(
        num_before=num_before,
        num_after=num_after,
        num_non_finite_before=first.num_non_finite,
        num_non_finite_after=second.num_non_finite,
        mean_before=first.mean,
        mean_after=second.mean,
        std_before=first.std,
        std_after=second.std,
        difference=second.mean - first.mean,
        difference_se=math.hypot(first.mean_se, second.mean_se, resolution),
        predicted=predicted,
        excess=second.mean - predicted,
        excess_se=math.hypot(first.mean_se, first.slope_se * ahead, second.mean_se, resolution),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """A straight line through the losses of one window, and how sure it is. NaN: cannot be told."""

    num: int
    num_non_finite: int
    mean: float = math.nan
    std: float = math.nan
    slope: float = math.nan
    mean_se: float = math.nan
    slope_se: float = math.nan

    @classmethod
    def of(cls, losses: ArrayLike) -> _Window:
        loss: Float64s = np.asarray(losses, dtype=np.float64)
        if loss.ndim != 1:
            raise ValueError(f"losses must be one-dimensional, got shape {loss.shape}")
        num = len(loss)
        num_non_finite = num - int(np.count_nonzero(np.abs(loss) < LARGEST_LOSS))
        if num_non_finite or num < 3:  # a line through two points leaves no residual
            mean = math.nan if num_non_finite or not num else float(loss.mean())
            return cls(num, num_non_finite, mean)
        time = np.arange(num) - (num - 1) / 2
        time_squares = float(time @ time)
        mean = float(loss.mean())
        slope = float(time @ loss) / time_squares
        residual = loss - mean - slope * time
        squares = float(residual @ residual)
        variance = squares / (num - 2)
        alike = float(residual[1:] @ residual[:-1]) / squares if squares else 0.0
        alike += (2 + 4 * alike) / num
        alike = min(max(alike, 0.0), 1 - 2 / num)  # at least one independent step remains
        variance *= (1 + alike) / (1 - alike)
        return cls(
            num,
            num_non_finite,
            mean,
            std=float(loss.std(ddof=1)),
            slope=slope,
            mean_se=math.sqrt(variance / num),
            slope_se=math.sqrt(variance / time_squares),
        )


def _number(value: float, decimals: int | None) -> str:
    if decimals is None and value:
        digits, _, exponent = f"{value:.1e}".partition("e")
        return f"{digits}e{int(exponent)}"
    return f"{value:.{decimals or 0}f}" if abs(value) < 1e4 else f"{value:.3g}"
