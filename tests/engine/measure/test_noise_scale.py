from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.errors import ConfigError
from vgrad.measure.noise_scale import MIN_OBSERVATIONS, NoiseScale

positive = st.floats(1e-6, 1e6)


def expected_squares(gradient_sq: float, trace: float, k: int, b: int) -> tuple[float, float]:
    """What the squared norms are on average: appendix A.1, E|G_B|² = |G|² + tr(Σ)/B."""
    return gradient_sq + trace / b, gradient_sq + trace / (k * b)


@given(gradient_sq=positive, trace=positive, windows=st.lists(
    st.tuples(st.integers(2, 64), st.integers(1, 64)), min_size=MIN_OBSERVATIONS, max_size=40))  # fmt: skip
def test_squares_that_meet_their_expectation_give_the_exact_scale(
    gradient_sq: float, trace: float, windows: list[tuple[int, int]]
) -> None:
    # Windows of changing length are told apart only if both unknowns are solved for at each step.
    noise = NoiseScale()
    for k, b in windows:
        noise.observe(*expected_squares(gradient_sq, trace, k, b), k, b)
    larger = max(gradient_sq, trace)  # the smaller is a difference of what holds the larger
    assert noise.gradient_sq == pytest.approx(gradient_sq, rel=1e-9, abs=1e-9 * larger)
    assert noise.trace == pytest.approx(trace, rel=1e-9, abs=1e-9 * larger * 64)
    if 1e-4 < trace / gradient_sq < 1e4:
        assert noise.value() == pytest.approx(trace / gradient_sq, rel=1e-3)


@pytest.mark.parametrize("seed", range(100, 104))
@pytest.mark.parametrize(("k", "b", "error"), [(2, 1, 0.031), (4, 8, 0.005), (16, 2, 0.0035)])
def test_it_converges_on_gaussian_gradients_of_known_mean_and_covariance(
    seed: int, k: int, b: int, error: float
) -> None:
    rng = np.random.default_rng(seed)
    mean, stds = rng.normal(size=30), rng.uniform(0.2, 4.0, size=30)
    truth = float((stds**2).sum() / (mean**2).sum())
    noise = NoiseScale(decay=0.9995)
    for _ in range(6000):
        micro = mean + stds * rng.normal(size=(k, 30)) / math.sqrt(b)
        noise.observe(float((micro**2).sum(1).mean()), float((micro.mean(0) ** 2).sum()), k, b)
    # `error` is the standard error, measured over the seeds 0 to 29.
    assert noise.value() == pytest.approx(truth, rel=4 * error)


def test_a_single_microbatch_tells_nothing() -> None:
    noise = NoiseScale()
    for _ in range(100):
        noise.observe(2.0, 2.0, 1, 32)
    assert noise.num_observations == 0
    assert math.isnan(noise.value()) and math.isnan(noise.gradient_sq) and math.isnan(noise.trace)


def test_too_few_observations_are_undetermined() -> None:
    noise = NoiseScale()
    for number in range(1, 30):
        noise.observe(3.0, 2.0, 4, 1)
        assert math.isnan(noise.value()) == (number < MIN_OBSERVATIONS)


@pytest.mark.parametrize(
    ("micro_sq_mean", "mean_sq"), [(4.0, 1.0), (8.0, 1.0), (1.0, 1.0), (0.0, 0.0)],
    ids=["no gradient", "less than none", "no noise", "all zero"],
)  # fmt: skip
def test_estimates_that_are_not_positive_are_undetermined(micro_sq_mean: float, mean_sq: float) -> None:
    noise = NoiseScale()
    for _ in range(50):
        noise.observe(micro_sq_mean, mean_sq, 4, 1)
    assert math.isnan(noise.value())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_step_leaves_the_estimate_as_it_was(bad: float) -> None:
    noise = NoiseScale()
    for _ in range(50):
        noise.observe(3.0, 2.0, 4, 1)
    before = noise.value()
    noise.observe(bad, 2.0, 4, 1)
    noise.observe(3.0, bad, 4, 1)
    assert noise.value() == before and noise.num_observations == 50


def test_it_follows_a_change_and_forgets() -> None:
    noise = NoiseScale(decay=0.9)
    for trace in (10.0, 1000.0):
        for _ in range(200):
            noise.observe(*expected_squares(1.0, trace, 4, 2), 4, 2)
        assert noise.value() == pytest.approx(trace, rel=1e-6)


@pytest.mark.parametrize("decay", [1.0, -0.1, math.nan])
def test_a_decay_that_makes_no_sense(decay: float) -> None:
    with pytest.raises(ConfigError, match="decay must be >= 0 and < 1"):
        NoiseScale(decay)
