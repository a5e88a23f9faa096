"""What steps can have done to a loss, and what they cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.engine.diagnose.story import INFO, UNTOUCHED

from vgrad.diagnose.explosions import ExplosionWatch
from vgrad.diagnose.judge import Judge
from vgrad.diagnose.step_reach import StepReach
from vgrad.events.step_record import StepRecord

NUM_WEIGHTS = 100


def descent(lr: float, momentum: float, steps: int) -> list[tuple[float, float]]:
    """Loss and gradient norm of gradient descent on 50 |p|²."""
    params, velocity = np.full(NUM_WEIGHTS, 0.1), np.zeros(NUM_WEIGHTS)
    seen = []
    for _ in range(steps):
        grad = 100 * params
        seen.append((50 * float(params @ params), float(np.linalg.norm(grad))))
        velocity = momentum * velocity + grad
        params = params - lr * velocity
    return seen


@pytest.mark.parametrize(("lr", "momentum"), [(0.03, 0.0), (0.3, 0.0), (0.05, 0.9), (0.3, 0.9)])
def test_no_descent_that_diverges_goes_beyond_its_reach(lr: float, momentum: float) -> None:
    reach = StepReach((NUM_WEIGHTS,))
    for loss, norm in descent(lr, momentum, 25):
        reach.observe(loss, norm, norm, lr, calm=50.0)
        assert not reach.is_exceeded
    assert reach.is_first_a_level


def test_a_loss_that_rises_by_a_weight_before_it_does() -> None:
    reach = StepReach((NUM_WEIGHTS,))
    for step in range(1, 25):
        weight = 1e-9 * step**3
        reach.observe(weight, weight, weight, 3e-4, calm=1e-9)
    assert reach.is_exceeded
    assert not reach.is_first_a_level


def test_nothing_is_claimed_where_the_rate_is_not_known() -> None:
    reach = StepReach((NUM_WEIGHTS,))
    for step in range(1, 25):
        reach.observe(10.0**step, 1e-3, 1e-3, math.nan, calm=1.0)
    assert not reach.is_exceeded
    assert reach.is_first_a_level


def kind_of_ramp(lr: float) -> str:
    """A loss that rises by six decades with its gradient, in steps that can or cannot have done that."""
    judge = Judge(INFO)
    for step in range(1, 401):
        level = (min(step, 300) / 300) ** 3
        norms = np.full(3, level / math.sqrt(3), dtype=np.float32)
        record = StepRecord(step, level, lr, lr, level, level, norms, 1, 32, 1, float(step), 1.0, 0.0)
        judge.observe(record, None, UNTOUCHED)
    return judge.verdict.kind


def test_a_ramp_is_an_explosion_only_where_its_steps_can_have_made_it() -> None:
    assert kind_of_ramp(1e-4) in ("healthy", "stalled")
    assert kind_of_ramp(1.0) == "exploding"


def test_a_judge_that_is_put_back_knows_where_the_run_began() -> None:
    watch, other = ExplosionWatch(is_loss_known=False), ExplosionWatch(is_loss_known=False)
    losses = [1.0] * 5 + [9.0] * 40
    for step, loss in enumerate(losses[:15], 1):
        watch.observe(step, loss, loss, clipped=False)
    captured = watch.capture()
    other.restore_(captured)
    for step, loss in enumerate(losses[15:], 16):
        expected = watch.observe(step, loss, loss, clipped=False)
        assert other.observe(step, loss, loss, clipped=False) == expected
    assert watch.is_exploding
    assert other.capture() == watch.capture()


def test_of_several_groups_the_largest_rate_counts() -> None:
    """A head at a rate of 1 above a body at 1e-4 can have thrown the run off."""
    judge = Judge(INFO)
    for step in range(1, 401):
        level = (min(step, 300) / 300) ** 3
        norms = np.full(3, level / math.sqrt(3), dtype=np.float32)
        record = StepRecord(
            step, level, 1e-4, 1e-4, level, level, norms, 1, 32, 1, float(step), 1.0, 0.0, max_lr=1.0
        )
        judge.observe(record, None, UNTOUCHED)
    assert judge.verdict.kind == "exploding"


def test_a_body_at_rest_under_a_head_that_trains_is_not_the_end_of_a_run() -> None:
    tags = {}
    for rate in (0.0, 0.1):
        judge = Judge(INFO)
        for step in range(1, 401):
            body, head = (0.1, 0.1) if step < 100 else (0.0, rate)
            norms = np.full(3, 0.5, dtype=np.float32)
            record = StepRecord(
                step, 1.0, body, body, 1.0, 1.0, norms, 1, 32, 1, float(step), 1.0, 0.0, max_lr=head
            )
            judge.observe(record, None, UNTOUCHED)
        tags[rate] = judge.verdict.tags
    assert "finished" in tags[0.0]
    assert "finished" not in tags[0.1]
