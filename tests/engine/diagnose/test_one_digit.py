"""Numbers as verdicts say them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.diagnose.one_digit import one_digit


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (3.2e-7, "3e-07"), (math.nan, "nan"), (math.inf, "inf")]
)
def test_zero_has_no_power_of_ten(value: float, text: str) -> None:
    assert one_digit(value) == text


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_it_is_right_to_one_digit(value: float) -> None:
    assert float(one_digit(value)) == pytest.approx(value, rel=1 / 3)
