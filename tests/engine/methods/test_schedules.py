from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, SequentialLR, StepLR

from vgrad.errors import ConfigError
from vgrad.methods.schedules import Constant, Schedule, StepDecay, WarmupCosine

LR = 0.7


@st.composite
def cosines(draw: st.DrawFn, least_warmup: int = 1) -> WarmupCosine:
    warmup = draw(st.integers(least_warmup, 20))
    total = draw(st.integers(warmup + 1, 60))
    return WarmupCosine(warmup, total, draw(st.floats(0.0, 1.0)))


decays = st.builds(StepDecay, st.integers(1, 20), st.floats(0.1, 1.0))


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)


def trajectory(scheduler: LRScheduler, steps: int) -> list[float]:
    """The learning rate that each of ``steps`` optimizer steps is made with."""
    rates = []
    for _ in range(steps):
        rates.append(float(scheduler.optimizer.param_groups[0]["lr"]))
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def ours(schedule: Schedule, steps: int) -> list[float]:
    return [LR * schedule.factor(step) for step in range(1, steps + 1)]


@given(st.one_of(cosines(), decays, st.just(Constant())))
def test_each_is_a_lambda_for_torch(schedule: Schedule) -> None:
    # LambdaLR counts from 0, where we say step 1.
    scheduler = LambdaLR(optimizer(), lambda epoch: schedule.factor(epoch + 1))
    assert trajectory(scheduler, 70) == ours(schedule, 70)


@given(decays)
def test_step_decay_is_torchs(schedule: StepDecay) -> None:
    scheduler = StepLR(optimizer(), schedule.every, schedule.gamma)
    assert trajectory(scheduler, 70) == pytest.approx(ours(schedule, 70), rel=1e-12)


@given(st.integers(1, 60), st.integers(2, 60))
def test_no_step_of_warmup_is_the_same_as_one(step: int, total: int) -> None:
    assert WarmupCosine(0, total).factor(step) == WarmupCosine(1, total).factor(step)


@given(cosines(least_warmup=2))
def test_warmup_and_cosine_are_torchs_one_after_the_other(schedule: WarmupCosine) -> None:
    opt, warmup = optimizer(), schedule.warmup_steps
    scheduler = SequentialLR(
        opt,
        [
            LinearLR(opt, start_factor=1 / warmup, total_iters=warmup - 1),
            CosineAnnealingLR(opt, schedule.total_steps - warmup, eta_min=schedule.final * LR),
        ],
        milestones=[warmup - 1],
    )
    steps = schedule.total_steps  # beyond, torch's climbs again
    assert trajectory(scheduler, steps) == pytest.approx(ours(schedule, steps), rel=1e-9, abs=1e-9)


@given(cosines(), st.integers(0, 1000))
def test_a_cosine_is_full_at_the_end_of_the_warmup_and_then_only_falls(
    schedule: WarmupCosine, beyond: int
) -> None:
    factors = [schedule.factor(step) for step in range(1, schedule.total_steps + 1)]
    assert factors[schedule.warmup_steps - 1] == max(factors) == 1.0
    assert factors[: schedule.warmup_steps] == sorted(factors[: schedule.warmup_steps])
    after = factors[schedule.warmup_steps - 1 :]
    assert after == sorted(after, reverse=True)
    assert schedule.factor(schedule.total_steps + beyond) == schedule.final
    assert all(0 <= factor <= 1 for factor in factors)


def test_a_decay_of_any_length_ends_at_zero_and_not_in_an_error() -> None:
    assert StepDecay(1, 0.1).factor(10**9) == 0.0
    assert StepDecay(every=1000).factor(1000) == 1.0
    assert StepDecay(every=1000).factor(1001) == 0.1


@pytest.mark.parametrize("schedule", [Constant(), WarmupCosine(), StepDecay()])
@pytest.mark.parametrize("step", [0, -1])
def test_steps_are_counted_from_one(schedule: Schedule, step: int) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        schedule.factor(step)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (WarmupCosine, {"warmup_steps": -1}, "warmup_steps must be a whole number from 0"),
        (WarmupCosine, {"warmup_steps": 1000}, "warmup_steps must be below total_steps"),
        (WarmupCosine, {"total_steps": 5.5}, "total_steps must be a whole number"),
        (WarmupCosine, {"final": -0.1}, "final must be from 0 to 1"),
        (WarmupCosine, {"final": math.nan}, "final must be"),
        (StepDecay, {"every": 0}, "every must be a whole number"),
        (StepDecay, {"gamma": 0.0}, "gamma must be > 0"),
        (StepDecay, {"gamma": 1.5}, "gamma must be > 0, and from"),
    ],
)
def test_settings_that_make_no_sense(kind: type[Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**values)
