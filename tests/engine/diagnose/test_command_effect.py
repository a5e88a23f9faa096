"""What may and may not be credited to a command."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.diagnose.command_effect import MIN_STEPS, judge_effect

losses = st.lists(st.floats(-1e30, 1e30), max_size=60)


def alike(rng: np.random.Generator, num: int, correlation: float) -> np.ndarray:
    """Noise of spread 1 whose neighbours correlate."""
    noise = rng.normal(size=num)
    for i in range(1, num):
        noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
    return noise


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("slope", [0.0, -0.02])
def test_one_process_is_not_an_effect_in_95_percent_of_seeds(correlation: float, slope: float) -> None:
    rng = np.random.default_rng(0)
    num_seeds = 400
    runs = [3 + alike(rng, 100, correlation) + slope * np.arange(100) for _ in range(num_seeds)]
    effects = [judge_effect(run[:50], run[50:]) for run in runs]
    assert sum(effect.beyond_trend for effect in effects) <= 0.05 * num_seeds
    if slope == 0:
        assert sum(effect.beyond_noise for effect in effects) <= 0.05 * num_seeds


def test_noise_whose_neighbours_are_alike_counts_for_fewer_steps() -> None:
    rng = np.random.default_rng(0)
    free, tied = alike(rng, 400, 0.0), alike(rng, 400, 0.9)
    assert judge_effect(tied, tied).difference_se > 2 * judge_effect(free, free).difference_se


def test_a_clear_shift_is_found_and_credited() -> None:
    rng = np.random.default_rng(0)
    found = [
        judge_effect(2.61 + 0.21 * alike(rng, 60, 0.5), 1.88 + 0.04 * alike(rng, 60, 0.5)) for _ in range(100)
    ]
    assert all(effect.beyond_noise for effect in found)
    assert sum(effect.beyond_trend for effect in found) >= 90
    assert found[0].words().startswith("loss 2.6")
    assert ": more than noise and trend (" in found[0].words()


def test_a_loss_that_falls_anyway_is_no_merit_of_the_command() -> None:
    run = 3 - 0.01 * np.arange(100)
    effect = judge_effect(run[:50], run[50:])
    assert effect.predicted == pytest.approx(effect.mean_after)
    assert effect.beyond_noise
    assert not effect.beyond_trend
    assert effect.words() == ("loss 2.75 ± .15 → 2.25 ± .15: more than noise, as the trend (2.25) had it")


def test_windows_of_unequal_length_are_placed_one_after_the_other() -> None:
    run = 3 - 0.01 * np.arange(100)
    assert judge_effect(run[:70], run[70:]).excess == pytest.approx(0, abs=1e-9)


def test_a_fall_that_stops_is_less_than_the_trend() -> None:
    falling = 3 - 0.02 * np.arange(50)
    assert "no more than noise, off the trend" in judge_effect(falling, np.full(50, falling.mean())).words()
    assert "more than noise, less than the trend" in judge_effect(falling, np.full(50, falling[-1])).words()


def test_equal_windows_are_no_more_than_noise() -> None:
    assert judge_effect([0.1] * 50, [0.1] * 50).words() == "loss 0.10 ± .00 → 0.10 ± .00: no more than noise"


def test_a_difference_below_what_float32_resolves_is_rounding() -> None:
    assert not judge_effect([2.0] * 30, [2.0 + 1e-8] * 30).beyond_noise
    assert judge_effect([2.0] * 30, [2.0 + 1e-5] * 30).beyond_noise


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_said_at_once(bad: float) -> None:
    effect = judge_effect([2.0] * 40, [2.0, bad])
    assert effect.words() == "loss 2.00 ± .00 → not finite in 1 of 2 steps"
    assert math.isnan(effect.mean_after)
    assert not effect.beyond_noise
    assert not effect.beyond_trend
    assert "not finite in 3 of 40 steps → 2.00" in judge_effect([bad] * 3 + [2.0] * 37, [2.0] * 40).words()
    assert judge_effect([bad], []).words() == "loss not finite in 1 of 1 steps → no steps yet"


@pytest.mark.parametrize("num", [0, 1, 2, MIN_STEPS - 1])
def test_too_few_steps_are_said_to_be_too_few(num: int) -> None:
    effect = judge_effect([2.0] * 40, [1.0] * num)
    assert effect.words() == f"not enough steps yet: {num} of {MIN_STEPS}"
    never = judge_effect([2.0] * num, [1.0] * 40).words()
    assert never == f"cannot be told: {num} of {MIN_STEPS} steps before it"
    assert not effect.beyond_noise


def test_an_exploded_loss_stays_readable() -> None:
    tiny = judge_effect([1.8e-4, 1.9e-4] * 30, [5e-5, 2e-5] * 30).words()
    assert tiny.startswith("loss 1.8e-4 ± 5.0e-6 → 3.5e-5 ± 1.5e-5: more than noise")
    assert "→ 3.1e+07 ± 0:" in judge_effect([2.0] * 40, [3.1e7] * 40).words().replace(".00:", "0:")


@given(losses, losses)
def test_any_finite_losses_are_judged_without_a_warning(before: list[float], after: list[float]) -> None:
    effect = judge_effect(before, after)
    assert effect.words()
    if effect.enough:
        assert all(math.isfinite(value) for value in dataclasses.astuple(effect))


@given(st.lists(st.floats(0, 1e3), min_size=MIN_STEPS, max_size=60), st.floats(-100, 100))
def test_an_offset_of_all_losses_changes_no_finding(run: list[float], offset: float) -> None:
    half = len(run) // 2
    plain = judge_effect(run[:half], run[half:])
    shifted = judge_effect(np.array(run[:half]) + offset, np.array(run[half:]) + offset)
    assert shifted.difference == pytest.approx(plain.difference, abs=1e-6)
    assert shifted.excess == pytest.approx(plain.excess, abs=1e-6)


def test_a_table_of_losses_is_refused() -> None:
    with pytest.raises(ValueError, match="one-dimensional"):
        judge_effect([[1.0]], [1.0])
