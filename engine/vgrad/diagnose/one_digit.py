"""Numbers of any size with one digit, as verdicts say them: ``3e-07``, and ``0`` for exactly zero."""

from __future__ import annotations


def one_digit(value: float) -> str:
    """``value`` with one digit and its power of ten."""
    return "0" if value == 0 else f"{value:.0e}"
