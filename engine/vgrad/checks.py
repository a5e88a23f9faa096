"""Turn what somebody typed into a number that makes sense, or say why it does not."""

from __future__ import annotations

import math

from vgrad.errors import ConfigError


def brief(value: object) -> str:
    """``repr(value)``, cut to a length that fits in a message.

    Never raises: an int beyond Python's digit limit has no repr.
    """
    try:
        text = repr(value)
    except ValueError:
        return "a number with thousands of digits"
    return text if len(text) <= 40 else f"{text[:37]}..."


def positive_float(name: str, value: object, *, at_least: float = 1e-30, at_most: float = 1e30) -> float:
    """Return ``value`` as a float in ``[at_least, at_most]``.

    The bounds are what float32 still holds with room for a product: below them a threshold or a
    scale would become 0 on its way through the training.

    Raises:
        ConfigError: If it is not a number, not finite, not positive, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, got {brief(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not at_least <= number <= at_most:  # also rejects NaN
        raise ConfigError(f"{name} must be > 0, and from {at_least:g} to {at_most:g}, got {brief(value)}")
    return number


def number(name: str, value: object, *, at_least: float, at_most: float) -> float:
    """Return ``value`` as a float in ``[at_least, at_most]``.

    Raises:
        ConfigError: If it is not a number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, got {brief(value)}")
    if not at_least <= value <= at_most:  # also rejects NaN
        raise ConfigError(f"{name} must be from {at_least:g} to {at_most:g}, got {brief(value)}")
    return float(value)


def count(name: str, value: object, *, at_most: int) -> int:
    """Return ``value`` as an int in ``[1, at_most]``; ``4.0`` counts as 4.

    Raises:
        ConfigError: If it is not a whole number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a whole number, got {brief(value)}")
    if not 1 <= value <= at_most or value != int(value):  # also rejects NaN
        raise ConfigError(f"{name} must be a whole number from 1 to {at_most}, got {brief(value)}")
    return int(value)
