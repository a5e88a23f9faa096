"""A loss that falls slowly under much noise is not said to stand still, and one that stands still is."""

from __future__ import annotations

import math
from statistics import mean

import numpy as np
import pytest
from tests.engine.diagnose.story import Story

from vgrad.diagnose.losses import LOOK_EVERY, STALL_STEPS, LossTrend


def share_called_stalled(losses: list[float]) -> float:
    """At how many of the looks a run with these losses is called stalled, once it could be."""
    story, said = Story(), []
    for step, loss in enumerate(losses, start=1):
        story.tell(1, loss=loss, updates=(1e-3,) * 3)
        if step >= STALL_STEPS and step % LOOK_EVERY == 0:
            said.append(story.judge.verdict.kind == "stalled")
    return sum(said) / len(said)


def with_noise(level: list[float], spread: float, seed: int) -> list[float]:
    rng = np.random.default_rng(seed)
    return [each + spread * float(rng.normal()) for each in level]


def test_a_loss_that_falls_a_tenth_in_a_thousand_steps_is_seldom_called_still() -> None:
    falling = [1.9 - 0.3 * math.log10(1 + step / 40) for step in range(1500)]
    assert falling[500] - falling[1500 - 1] == pytest.approx(0.14, abs=0.02)
    assert mean(share_called_stalled(with_noise(falling, 0.08, seed)) for seed in range(8)) < 0.15


def test_a_loss_that_stands_still_is_called_so() -> None:
    standing = [1.5 + 3 * math.exp(-step / 15) for step in range(1500)]
    assert mean(share_called_stalled(with_noise(standing, 0.08, seed)) for seed in range(8)) > 0.85


def test_a_fall_that_is_over_counts_for_six_hundred_steps() -> None:
    trend, said = LossTrend(), ""
    for step in range(1, 2001):
        slow = 1.0 if step <= 300 else max(0.95, 1.0 - (step - 300) / 14_000)
        trend.observe(slow * (1 + 0.01 * math.sin(7.0 * step)))
        if step % (5 * LOOK_EVERY) == 0:
            trend.look()
            said += "f" if trend.slow_progress.is_found else "." if trend.is_stalled else "m"
    assert said[0] == "."
    assert "f" in said
    assert said[-1] == "."
