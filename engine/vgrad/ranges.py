"""Numbers whose range includes zero: momenta, decays, shares."""

from __future__ import annotations

import math

from vgrad.checks import brief
from vgrad.errors import ConfigError


def number_from(name: str, value: object, least: float, *, at_most: float = math.inf) -> float:
    """Return ``value`` as a float in ``[least, at_most]``.

    Raises:
        ConfigError: If it is not a number, not finite, or out of range.
    """
    number = _number(name, value)
    if not least <= number <= at_most or math.isinf(number):  # also rejects NaN
        bound = "" if math.isinf(at_most) else f" and <= {at_most:g}"
        raise ConfigError(f"{name} must be finite, >= {least:g}{bound}, got {brief(value)}")
    return number


def decay_rate(name: str, value: object, *, may_be_zero: bool = True) -> float:
    """Return ``value`` as a float in ``[0, 1)``: the share that an average keeps at each step.

    Raises:
        ConfigError: If it is not a number, or out of range; 0 too, unless it ``may_be_zero``.
    """
    number = _number(name, value)
    if not 0 <= number < 1 or (number == 0 and not may_be_zero):  # also rejects NaN
        raise ConfigError(f"{name} must be {'>=' if may_be_zero else '>'} 0 and < 1, got {brief(value)}")
    return number


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, got {brief(value)}")
    try:
        return float(value)
    except OverflowError:  # an int beyond float64
        return math.inf
