"""Round numbers for axes: where an axis begins and ends, and what stands beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
Tick = tuple[float, str]

_ENDS = (10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 90, 100)
_FEWEST_STEPS = 20
_FEWEST_TICKS = 3  # the round step can be 2.5 times what was asked for, and one tick is to remain


def nice_range(step: int) -> int:
    """The round right end of a step axis that holds ``step``: at most a fifth beyond it.

    It grows by jumps of 11 to 20 %, so a growing run redraws what it has only at a jump.
    """
    step = max(step, _FEWEST_STEPS)
    unit: int = 10 ** (len(str(step)) - 1)
    return next(end for end in (multiple * unit // 10 for multiple in _ENDS) if end >= step)


def round_step(rough: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least ``rough`` (> 0)."""
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(multiple * unit for multiple in (1, 2, 5, 10) if multiple * unit >= rough * (1 - 1e-9))


def step_ticks(first: int, last: int, num: int) -> list[Tick]:
    """About ``num`` round steps, at least one, in ``[first, last]``, with thousands separators."""
    stride = max(1, int(round_step(max(1, last - first) / max(_FEWEST_TICKS, num))))
    begin = -(-first // stride) * stride
    return [(float(step), f"{step:,}") for step in range(begin, last + 1, stride)]


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """A vertical axis whose ends are rounded, so that it seldom moves.

    Attributes:
        low: Lower end, in values, or in their decimal logarithms if ``log``.
        high: Upper end, likewise; always above ``low``.
        log: Whether the axis is logarithmic.
    """

    low: float
    high: float
    log: bool

    @classmethod
    def holding(cls, values: Float64s, *, log: bool) -> ValueAxis:
        """The axis of all finite ``values`` (positive ones, if ``log``); 0 to 1 if there are none."""
        usable = values[np.isfinite(values) & ((values > 0) | (not log))]
        if not usable.size:
            return cls(-1.0 if log else 0.0, 0.0 if log else 1.0, log)
        low, high = float(usable.min()), float(usable.max())
        if log:
            low, high = math.log10(low), math.log10(high)
        if high - low <= 1e-6 * max(abs(low), abs(high)):  # constant, as float32 goes
            pad = 0.5 if log else abs(high) / 2 or 1.0
            low, high = low - pad, high + pad
        grain = round_step((high - low) / 20)
        return cls(math.floor(low / grain) * grain, math.ceil(high / grain) * grain, log)

    def place(self, values: Float64s) -> Float64s:
        """Positions in [0, 1] from the lower to the upper end; what is beyond stands at an end.

        On a log axis what is not positive stands at the lower end. NaN stays NaN.
        """
        if self.log:
            positive = np.where(values > 0, values, 1.0)
            values = np.where(values <= 0, -np.inf, np.log10(np.where(np.isnan(values), np.nan, positive)))
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)

    def ticks(self, num: int) -> list[Tick]:
        """About ``num`` positions in [0, 1], lowest first, and their labels.

        There is at least one. Where ``num`` is 1 there are two, far apart: one alone does not show the range.
        """
        decades = _multiples(self.low, self.high, 1) if self.log else []
        if len(decades) > 1:
            chosen = _ends(decades) if num == 1 else decades[:: math.ceil(len(decades) / max(1, num))]
            return [(self._share(decade), _power(round(decade))) for decade in chosen]
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        stride = round_step((high - low) / max(_FEWEST_TICKS, num))
        values = [value for value in _multiples(low, high, stride) if value > 0 or not self.log]
        if len(values) == 1 and num:
            stride = round_step((high - low) / (2 * _FEWEST_TICKS))
            values = _ends([value for value in _multiples(low, high, stride) if value > 0 or not self.log])
        return [
            (self._share(math.log10(value) if self.log else value), _label(value, stride)) for value in values
        ]

    def _share(self, position: float) -> float:
        return min(1.0, max(0.0, (position - self.low) / (self.high - self.low)))


def _ends(values: list[float]) -> list[float]:
    """The first and the last of two or more; of one, that one."""
    return values[:: max(1, len(values) - 1)]


def _multiples(low: float, high: float, stride: float) -> list[float]:
    """The multiples of ``stride`` from ``low`` to ``high``, rounding errors forgiven."""
    first, last = math.ceil(low / stride - 1e-6), math.floor(high / stride + 1e-6)
    return [multiple * stride for multiple in range(first, last + 1)]


def _power(decade: int) -> str:
    return f"{10.0**decade:g}" if -2 <= decade <= 3 else f"1e{decade}"


def _label(value: float, stride: float) -> str:
    """As many digits as tell ``value`` from its neighbours, ``stride`` away."""
    size = max(abs(value), stride)
    if 1e-3 <= size < 1e5:
        return f"{value:,.{max(0, -math.floor(math.log10(stride) + 1e-9))}f}"
    digits = max(0, math.floor(math.log10(size) + 1e-9) - math.floor(math.log10(stride) + 1e-9))
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"
