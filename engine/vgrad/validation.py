"""Turns what a user typed into a valid number, or says why it is not one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable


def brief(value: object) -> str:
    """``repr(value)``, cut to a length that fits in a message.

    Never raises: an int beyond Python's digit limit has no repr, nor has an object whose class has a fault.
    """
    try:
        text = repr(value)
    except ValueError:
        return "a number with thousands of digits"
    except Exception:  # noqa: BLE001  # it is somebody's own class
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:37]}..."


def positive_float(name: str, value: object, *, at_least: float = 1e-30, at_most: float = 1e30) -> float:
    """Return ``value`` as a float in ``[at_least, at_most]``.

    The bounds are what float32 still holds with room for a product: below them a threshold or a
    scale would become 0 on its way through the training.

    Raises:
        ConfigError: If it is not a number, not finite, not positive, or out of range.
    """
    found = _float(name, value)
    if not at_least <= found <= at_most:  # also rejects NaN
        raise ConfigError(f"{name} must be > 0, and from {at_least:g} to {at_most:g}, got {brief(value)}")
    return found


def number(name: str, value: object, *, at_least: float, at_most: float = math.inf) -> float:
    """Return ``value`` as a finite float in ``[at_least, at_most]``.

    Raises:
        ConfigError: If it is not a number, not finite, or out of range.
    """
    found = _float(name, value)
    if not at_least <= found <= at_most or math.isinf(found):  # also rejects NaN
        bound = f"finite and >= {at_least:g}" if math.isinf(at_most) else f"from {at_least:g} to {at_most:g}"
        raise ConfigError(f"{name} must be {bound}, got {brief(value)}")
    return found


def decay_rate(name: str, value: object, *, may_be_zero: bool = True) -> float:
    """Return ``value`` as a float in ``[0, 1)``: the share that an average keeps at each step.

    Raises:
        ConfigError: If it is not a number, or out of range; 0 too, unless it ``may_be_zero``.
    """
    found = _float(name, value)
    if not 0 <= found < 1 or (found == 0 and not may_be_zero):  # also rejects NaN
        raise ConfigError(f"{name} must be {'>=' if may_be_zero else '>'} 0 and < 1, got {brief(value)}")
    return found


def count(name: str, value: object, *, at_least: int = 1, at_most: int) -> int:
    """Return ``value`` as an int in ``[at_least, at_most]``; ``4.0`` counts as 4.

    Raises:
        ConfigError: If it is not a whole number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a whole number, got {brief(value)}")
    if not at_least <= value <= at_most or value != int(value):  # also rejects NaN
        raise ConfigError(f"{name} must be a whole number from {at_least} to {at_most}, got {brief(value)}")
    return int(value)


def _float(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, got {brief(value)}")
    try:
        return float(value)
    except OverflowError:  # an int beyond float64
        return math.inf


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known name, or nothing when none is near."""
    from difflib import get_close_matches  # imported only when something is refused

    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
