"""What may and may not be said of a command."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.diagnose.command_effect import MIN_STEPS, judge_effect

losses = st.lists(st.floats(-1e30, 1e30), max_size=60)
TWIN = "only a twin run tells why"


def alike(rng: np.random.Generator, num: int, correlation: float) -> np.ndarray:
    """Noise of spread 1 whose neighbours correlate."""
    noise = rng.normal(size=num)
    for i in range(1, num):
        noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
    return noise


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_one_process_is_not_an_effect_in_95_percent_of_seeds(correlation: float) -> None:
    rng = np.random.default_rng(0)
    num_seeds = 400
    runs = [3 + alike(rng, 200, correlation) for _ in range(num_seeds)]
    effects = [judge_effect(run[:100], run[100:]) for run in runs]
    assert sum(effect.beyond_noise for effect in effects) <= 0.05 * num_seeds


@pytest.mark.parametrize(
    "curve", [lambda t: np.exp(-t / 120), lambda t: 1.5 + 40 / t, lambda t: 3 - 0.01 * t]
)
def test_a_command_that_does_nothing_is_never_credited(curve: object) -> None:
    rng = np.random.default_rng(0)
    time = np.arange(60.0, 160.0)
    for _ in range(200):
        run = curve(time) + 0.002 * rng.normal(size=100)  # type: ignore[operator]
        effect = judge_effect(run[:50], run[50:])
        assert effect.beyond_noise
        assert "trend" not in effect.words()
        assert effect.words().endswith(f"it was moving so before; {TWIN}")


def test_noise_whose_neighbours_are_alike_counts_for_fewer_steps() -> None:
    rng = np.random.default_rng(0)
    free, tied = alike(rng, 400, 0.0), alike(rng, 400, 0.9)
    assert judge_effect(tied, tied).before.error > 2 * judge_effect(free, free).before.error


def test_a_clear_shift_is_found_and_nobody_is_credited_with_it() -> None:
    rng = np.random.default_rng(0)
    found = [
        judge_effect(2.61 + 0.21 * alike(rng, 60, 0.5), 1.88 + 0.04 * alike(rng, 60, 0.5)) for _ in range(100)
    ]
    assert all(effect.beyond_noise for effect in found)
    assert found[0].words().startswith("loss 2.6")
    assert found[0].words().endswith(TWIN)


def test_a_jolt_after_a_cure_is_forgotten_at_a_hundred_steps() -> None:
    rng = np.random.default_rng(0)
    before = 2.303 + 0.001 * rng.normal(size=100)
    after = np.concatenate([9.6 + 24.7 * rng.random(30), np.geomspace(2.0, 2e-4, 970)])
    early = judge_effect(before, after[:100])
    assert early.after[0][1].median < 2.0
    late = judge_effect(before, after)
    assert [steps for steps, _ in late.after] == [100, 300, 1000]
    assert late.after[-1][1].median < 5e-4
    assert "(100 steps)" in late.words() and "(1,000 steps)" in late.words()


def test_a_few_outliers_change_nothing() -> None:
    rng = np.random.default_rng(0)
    calm = 1 + 0.01 * rng.normal(size=200)
    spiked = calm.copy()
    spiked[[20, 70, 110, 150]] = 1e6
    assert judge_effect(spiked[:100], spiked[100:]).difference == pytest.approx(
        judge_effect(calm[:100], calm[100:]).difference, abs=0.005
    )


def test_equal_windows_are_no_more_than_noise() -> None:
    words = judge_effect([0.1] * 50, [0.1] * 50).words()
    assert words == "loss 0.10 ± .00 → 0.10 ± .00 (50 steps): no more than noise"


def test_a_difference_below_what_float32_resolves_is_rounding() -> None:
    assert not judge_effect([2.0] * 30, [2.0 + 1e-8] * 30).beyond_noise
    assert judge_effect([2.0] * 30, [2.0 + 1e-5] * 30).beyond_noise


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_said_at_once(bad: float) -> None:
    effect = judge_effect([2.0] * 40, [2.0, bad])
    assert effect.words() == "loss 2.00 ± .00 → not finite in 1 of 2 steps"
    assert math.isnan(effect.difference)
    assert not effect.beyond_noise
    assert "not finite in 3 of 40 steps → 2.00" in judge_effect([bad] * 3 + [2.0] * 37, [2.0] * 40).words()
    assert judge_effect([bad], []).words() == "loss not finite in 1 of 1 steps → no steps yet"


@pytest.mark.parametrize("num", [0, 1, 2, MIN_STEPS - 1])
def test_too_few_steps_are_said_to_be_too_few(num: int) -> None:
    effect = judge_effect([2.0] * 40, [1.0] * num)
    assert effect.words() == f"not enough steps yet: {num} of {MIN_STEPS}"
    never = judge_effect([2.0] * num, [1.0] * 40).words()
    assert never == f"cannot be known: {num} of {MIN_STEPS} steps before it"
    assert not effect.beyond_noise


def test_an_exploded_loss_stays_readable() -> None:
    tiny = judge_effect([1.8e-4, 1.9e-4] * 30, [5e-5, 2e-5] * 30).words()
    assert tiny.startswith("loss 1.8e-4 ± ") and "e-5 (60 steps)" in tiny
    assert "→ 3.1e+07 ± " in judge_effect([2.0] * 40, [3.1e7] * 40).words()


@given(losses, losses)
def test_any_finite_losses_are_judged_without_a_warning(before: list[float], after: list[float]) -> None:
    effect = judge_effect(before, after)
    assert effect.words()
    if effect.enough:
        assert math.isfinite(effect.difference)


@given(st.lists(st.floats(0, 1e3), min_size=MIN_STEPS, max_size=60), st.floats(-100, 100))
def test_an_offset_of_all_losses_changes_no_level(run: list[float], offset: float) -> None:
    half = len(run) // 2
    plain = judge_effect(run[:half], run[half:])
    shifted = judge_effect(np.array(run[:half]) + offset, np.array(run[half:]) + offset)
    assert shifted.difference == pytest.approx(plain.difference, abs=1e-6)


def test_a_table_of_losses_is_refused() -> None:
    with pytest.raises(ValueError, match="one-dimensional"):
        judge_effect([[1.0]], [1.0])


def test_a_narrow_line_leaves_out_detail_and_never_what_cannot_be_known() -> None:
    before, after = [3.0 - 0.002 * step for step in range(200)], [1.5] * 1200
    effect = judge_effect(before, after)
    full = effect.words()
    lengths = []
    for width in range(len(full), 0, -1):
        words = effect.words(width)
        assert words.endswith(TWIN)
        assert "→" in words
        lengths.append(len(words))
    assert effect.words(len(full)) == full
    assert lengths == sorted(lengths, reverse=True) and lengths[-1] < 60
