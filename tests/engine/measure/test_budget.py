from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.measure.budget import Budget

seconds = st.floats(min_value=1e-5, max_value=1.0)


@given(
    st.floats(0.001, 1.0),
    st.lists(seconds, min_size=1, max_size=300),
    st.lists(seconds, min_size=1, max_size=20),
)
def test_spending_never_exceeds_the_share_by_more_than_the_most_expensive_layer(
    share: float, steps_s: list[float], costs_s: list[float]
) -> None:
    budget, max_cost_s = Budget(share), max(costs_s)
    spent_s = trained_s = 0.0
    turn = 0
    for step_s in steps_s:
        cost_s = costs_s[turn % len(costs_s)]
        if budget.affords(cost_s):
            budget.spend(cost_s)
            spent_s += cost_s
            turn += 1
        budget.earn(step_s, 0.0, at_most_s=2 * max_cost_s)
        trained_s += step_s
        assert spent_s <= share * trained_s + max_cost_s


@given(st.floats(0.001, 0.5), st.floats(0.02, 40.0))
def test_the_share_is_really_used(share: float, cost_in_steps: float) -> None:
    """Expensive layers are measured as often as many steps pay for, and cheap ones many at once."""
    step_s = 1e-3
    cost_s = cost_in_steps * share * step_s
    budget, num_measured, num_steps = Budget(share), 0, 2000
    for _ in range(num_steps):
        while budget.affords(cost_s):
            budget.spend(cost_s)
            num_measured += 1
        budget.earn(step_s, 0.0, at_most_s=2 * cost_s)
    assert num_measured == pytest.approx(
        num_steps / cost_in_steps, rel=0.5 if cost_in_steps < 1 else 0.05, abs=2
    )
    assert num_measured * cost_s <= share * num_steps * step_s * (1 + 1e-9)


@given(st.floats(0.001, 1.0), st.lists(st.tuples(seconds, seconds), min_size=1, max_size=200))
def test_what_the_norms_cost_is_taken_from_the_same_share(
    share: float, steps: list[tuple[float, float]]
) -> None:
    budget, cost_s, spent_s, earned_s = Budget(share), 1e-6, 0.0, 0.0
    for step_s, norms_s in steps:
        while budget.affords(cost_s):
            budget.spend(cost_s)
            spent_s += cost_s
            cost_s *= 2
        budget.earn(step_s, norms_s, at_most_s=1e9)
        earned_s += max(share * step_s - norms_s, 0.1 * share * step_s)
        assert spent_s <= earned_s * (1 + 1e-9)


def test_a_cost_beyond_expectation_is_owed() -> None:
    budget = Budget(0.1)
    budget.earn(1.0, 0.0, at_most_s=10.0)
    budget.spend(0.35)
    budget.earn(1.0, 0.0, at_most_s=10.0)
    budget.earn(1.0, 0.0, at_most_s=10.0)
    assert not budget.affords(0.01)
    budget.earn(1.0, 0.0, at_most_s=10.0)
    assert budget.affords(0.04)


def test_a_share_of_zero_affords_nothing_however_cheap() -> None:
    budget = Budget(0.0)
    budget.earn(1e9, 0.0, at_most_s=1e9)
    assert not budget.affords(0.0)
