"""What the loss was before a command and after it: more than noise, and no more is said.

The loss after a command is read at 100, 300 and 1,000 steps, so that a jolt right after it is not taken for
what it did. Levels are medians: a few outliers change nothing. Consecutive losses resemble each other
(neighbouring batches, momentum), so a window of n steps counts for fewer than n independent ones.

Nothing here says what caused a change. A loss that was falling falls on, along a curve that nobody knows: a
straight line through the steps before is wrong for nearly every training run. Only a twin of the run, trained
on the same batches without the command, can say what the command did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64s = NDArray[np.float64]

_TINY = 1e-3  # losses below it are written as 1.8e-4
MIN_STEPS = 20
"""Steps that each window needs: below it, how alike neighbours are cannot be measured."""

HORIZONS = (100, 300, 1000)
"""Steps after a command at which the loss is read."""

MIN_SIGMAS = 3.0
"""Standard errors that are more than noise. Measured false alarms, 50 or 100 steps each side: at most 1.5 %
where neighbours correlate by up to .6, 3 to 7 % at .9."""

LOSS_RESOLUTION = 1e-7  # relative; losses are float32, so a smaller difference is rounding
LARGEST_LOSS = 1e100  # what is beyond has no square in float64, and is no loss any more

_LONGEST = 100  # steps of a window
_MEDIAN_ERROR = math.sqrt(math.pi / 2)  # of a median's standard error, over that of a mean
_MAD = 1.4826  # standard deviation of normal noise, over its median absolute deviation


@dataclass(frozen=True, slots=True)
class LossLevel:
    """The losses of one window. All values in units of the loss; NaN: cannot be known.

    Attributes:
        num: Steps in the window.
        num_non_finite: How many losses were NaN or infinite.
        median: Their median; NaN if any was not finite.
        spread: Robust standard deviation of single losses around their trend.
        error: Standard error of the median.
        slope: Change a step.
        slope_error: Standard error of ``slope``.
    """

    num: int
    num_non_finite: int
    median: float = math.nan
    spread: float = math.nan
    error: float = math.nan
    slope: float = math.nan
    slope_error: float = math.nan

    @classmethod
    def of(cls, losses: Float64s) -> LossLevel:
        """The level of these losses, shape ``(n,)``."""
        num = len(losses)
        num_non_finite = num - int(np.count_nonzero(np.abs(losses) < LARGEST_LOSS))
        if num_non_finite or not num:
            return cls(num, num_non_finite)
        median = float(np.median(losses))
        if num < 3:  # a line through two points leaves no residual
            return cls(num, 0, median)
        time = np.arange(num) - (num - 1) / 2
        time_squares = float(time @ time)
        slope = float(time @ losses) / time_squares
        residual = losses - losses.mean() - slope * time
        spread = _MAD * float(np.median(np.abs(residual - np.median(residual))))
        independent = num / _inflation(residual)
        return cls(
            num,
            0,
            median,
            spread=spread,
            error=_MEDIAN_ERROR * spread / math.sqrt(independent),
            slope=slope,
            slope_error=spread * math.sqrt(num / independent / time_squares),
        )


@dataclass(frozen=True, slots=True)
class Effect:
    """The loss before a command, and at each horizon after it that has been reached.

    Attributes:
        num_before: Steps before the command that were looked at.
        num_after: Steps after it.
        before: Level of the steps before.
        after: Level after it by the number of steps; below 100 steps that of the newest ones.
    """

    num_before: int
    num_after: int
    before: LossLevel
    after: tuple[tuple[int, LossLevel], ...]

    @property
    def enough(self) -> bool:
        """Whether both sides are long enough to be compared."""
        return min(self.num_before, self.num_after) >= MIN_STEPS

    @property
    def finite(self) -> bool:
        """Whether every loss that was looked at was finite."""
        return not any(level.num_non_finite for level in (self.before, *(level for _, level in self.after)))

    @property
    def difference(self) -> float:
        """The loss at the last horizon less the loss before."""
        return self.after[-1][1].median - self.before.median if self.after else math.nan

    @property
    def beyond_noise(self) -> bool:
        """Whether the loss changed by more than noise."""
        if not self.enough or not self.finite:
            return False
        last = self.after[-1][1]
        resolution = LOSS_RESOLUTION * max(abs(self.before.median), abs(last.median))
        return abs(self.difference) > MIN_SIGMAS * math.hypot(self.before.error, last.error, resolution)

    @property
    def was_changing(self) -> bool:
        """Whether the loss was already moving the same way before."""
        slope = self.before.slope
        return slope * self.difference > 0 and abs(slope) > MIN_SIGMAS * self.before.slope_error

    def words(self, width: int | None = None) -> str:
        """One honest line, with as much detail as fits into ``width`` characters.

        What is left out first is how the loss went on the way, then its spread, then the number of steps.
        What cannot be known is always said.
        """
        forms = self._forms()
        return next((form for form in forms if width is None or len(form) <= width), forms[-1])

    def _forms(self) -> tuple[str, ...]:
        """The comparison in words, with less and less detail."""
        if not self.finite:
            return (f"loss {self._in_words(self.before)} → {self._in_words(self._newest)}",)
        if self.num_before < MIN_STEPS:  # there will never be more
            return (f"cannot be known: {self.num_before} of {MIN_STEPS} steps before it",)
        if not self.enough:
            return (f"not enough steps yet: {self.num_after} of {MIN_STEPS}",)
        decimals = self._decimals()
        levels = [
            f"{self._in_words(level) if index == 0 else _number(level.median, decimals)} ({steps:,} steps)"
            for index, (steps, level) in enumerate(self.after)
        ]
        steps, last = self.after[-1]
        change = f"{_number(self.before.median, decimals)} → {_number(last.median, decimals)}"
        short = self._finding(is_short=True)
        return (
            f"loss {self._in_words(self.before)} → {' → '.join(levels)}: {self._finding()}",
            f"loss {self._in_words(self.before)} → {self._in_words(last)} ({steps:,} steps): {short}",
            f"loss {change} ({steps:,} steps): {short}",
            f"{change}: {short}",
        )

    @property
    def _newest(self) -> LossLevel:
        return self.after[-1][1] if self.after else LossLevel(0, 0)

    def _finding(self, *, is_short: bool = False) -> str:
        if not self.beyond_noise:
            return "no more than noise"
        before = ", and it was moving so before" if self.was_changing and not is_short else ""
        return f"more than noise{before}; only a twin run tells why"

    def _in_words(self, level: LossLevel) -> str:
        """``2.61 ± .21``, or how many losses were not finite."""
        if level.num_non_finite:
            return f"not finite in {level.num_non_finite} of {level.num} steps"
        if not level.num:
            return "no steps yet"
        decimals = self._decimals()
        if math.isnan(level.spread):
            return _number(level.median, decimals)
        return f"{_number(level.median, decimals)} ± {_number(level.spread, decimals).removeprefix('0')}"

    def _decimals(self) -> int | None:
        """As many as the smaller spread needs to show a digit, 2 to 6; None where all levels are tiny."""
        levels = (self.before, *(level for _, level in self.after))
        if 0 < max(abs(level.median) for level in levels) < _TINY:
            return None
        spreads = [level.spread for level in levels if level.spread >= 1e-6]  # leaves out NaN, too
        return min(6, max(2, -math.floor(math.log10(min(spreads))))) if spreads else 2


def judge_effect(before: ArrayLike, after: ArrayLike) -> Effect:
    """Compare the losses before a command with those after it.

    Args:
        before: Losses of steps up to the command, shape ``(n,)``, oldest first; the last 100 count.
        after: Losses of the steps that follow without a gap, shape ``(m,)``.

    Returns:
        The levels before and after. Windows of any length are accepted; `Effect.enough` says whether they
        mean anything. A window after the command is the later half of its steps, 100 at most.

    Raises:
        ValueError: If an argument is not one-dimensional.

    Source:
        Standard errors from the effective sample size ``n (1 - r) / (1 + r)`` of a first-order
        autoregressive series (Bayley & Hammersley 1946, J. R. Stat. Soc. Suppl. 8, 184), with
        ``r`` measured around the linear trend and corrected for its bias in short series
        (Shaman & Stine 1988, J. Am. Stat. Assoc. 83, 842).
    """
    first, second = (np.asarray(losses, dtype=np.float64) for losses in (before, after))
    for losses in (first, second):
        if losses.ndim != 1:
            raise ValueError(f"losses must be one-dimensional, got shape {losses.shape}")
    num = len(second)
    reached = [horizon for horizon in HORIZONS if horizon <= num] or ([num] if num else [])
    levels = tuple((steps, LossLevel.of(second[_begin(steps) : steps])) for steps in reached)
    return Effect(len(first), num, LossLevel.of(first[-_LONGEST:]), levels)


def _begin(steps: int) -> int:
    """Where the window begins that ends after so many steps."""
    return steps - min(_LONGEST, max(MIN_STEPS, steps // 2)) if steps > MIN_STEPS else 0


def _inflation(residual: Float64s) -> float:
    """By how much neighbours that are alike enlarge the variance of a mean."""
    num, squares = len(residual), float(residual @ residual)
    alike = float(residual[1:] @ residual[:-1]) / squares if squares else 0.0
    alike += (2 + 4 * alike) / num
    alike = min(max(alike, 0.0), 1 - 2 / num)  # at least one independent step remains
    return (1 + alike) / (1 - alike)


def _number(value: float, decimals: int | None) -> str:
    if decimals is None and value:
        digits, _, exponent = f"{value:.1e}".partition("e")
        return f"{digits}e{int(exponent)}"
    return f"{value:.{decimals or 0}f}" if abs(value) < 1e4 else f"{value:.3g}"
