"""Every run that verdicts are measured on: more than 700, short, small, and of many kinds. Free of torch."""

from __future__ import annotations

from vgrad.lab.accuracy.cases import Case
from vgrad.lab.accuracy.fitting import fitting_cases
from vgrad.lab.accuracy.held_out import held_out_cases
from vgrad.lab.accuracy.rates import rate_cases
from vgrad.lab.accuracy.units import unit_cases


def all_cases() -> tuple[Case, ...]:
    """Every case, always in the same order and with the same name."""
    return (*fitting_cases(), *rate_cases(), *unit_cases(), *held_out_cases())
