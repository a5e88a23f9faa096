"""Did a method help? The answer follows from pairs of runs alone: with and without it, of one seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

MethodOutcome = Literal["helped", "did nothing", "did harm", "could not tell"]

LEAST = 0.05
"""A change by less than this share is too small to matter."""

_TINY = 1e-12  # smaller values are as good as this one
_CONFIDENCE = 0.9
_FEWEST = 3  # fewer pairs than this give no answer

RULE = f"""\
Every run is compared with the run of the same seed without the method, by the ratio of their validation
losses (where runs end once they are solved: of their updates to solve); below 1 is better. A loss that is
not finite, or a run that was never solved, is worse than any other and equal to its like. The interval is
the narrowest between two of the ordered ratios that covers the median with at least {_CONFIDENCE:.0%}
confidence, or from the least to the largest where there are too few seeds for that: it then covers it
with 75 % (3 seeds), 87.5 % (4) or 93.75 % (5).

- **helped**: the whole interval is below {1 / (1 + LEAST):.3f}
- **did harm**: the whole interval is above {1 + LEAST:.3f}
- **did nothing**: the whole interval lies between these two
- **could not tell**: anything else, and fewer than {_FEWEST} seeds"""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """A method against its control.

    Attributes:
        ratio: Median of the pairs' ratios; below 1 is better. 0: only the method's runs
            succeeded; infinite: only the control's; NaN: no pairs.
        low: Lower end of its interval.
        high: Upper end.
        outcome: What that says.
    """

    ratio: float
    low: float
    high: float
    outcome: MethodOutcome


def compare_pairs(method: Sequence[float], control: Sequence[float]) -> PairedComparison:
    """Compare paired values, smaller is better, by the rule that `RULE` states.

    Args:
        method: A value >= 0 per seed; NaN or infinite if the run failed.
        control: The same without the method, in the same order of seeds.

    Raises:
        ValueError: If there are not as many of one as of the other.

    Source:
        Confidence interval of a median by order statistics (the sign test's; Conover 1999,
        "Practical Nonparametric Statistics", section 3.2): it assumes nothing about the distribution and
        allows infinite values.
    """
    ratios = sorted(_ratio(a, b) for a, b in zip(method, control, strict=True))
    if not ratios:
        return PairedComparison(math.nan, math.nan, math.nan, "could not tell")
    cut = _cut(len(ratios))
    low, high = ratios[cut], ratios[-1 - cut]
    return PairedComparison(median(ratios), low, high, _outcome(len(ratios), low, high))


def _outcome(num_pairs: int, low: float, high: float) -> MethodOutcome:
    if num_pairs < _FEWEST:
        return "could not tell"
    better, worse = 1 / (1 + LEAST), 1 + LEAST
    if high < better:
        return "helped"
    if low > worse:
        return "did harm"
    return "did nothing" if better <= low and high <= worse else "could not tell"


def _ratio(method: float, control: float) -> float:
    match math.isfinite(method), math.isfinite(control):
        case True, True:
            return max(method, _TINY) / max(control, _TINY)
        case False, True:
            return math.inf
        case True, False:
            return 0.0
    return 1.0


def _cut(num: int) -> int:
    """How many of the ordered values may be left out at either end."""
    cut = 0
    while 1 - 2 * _tail(num, cut + 1) >= _CONFIDENCE:
        cut += 1
    return cut


def _tail(num: int, cut: int) -> float:
    """Probability that at most ``cut`` of ``num`` values lie above their distribution's median."""
    return math.ldexp(sum(math.comb(num, k) for k in range(cut + 1)), -num)
