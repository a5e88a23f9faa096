"""Runs whose loss of a constant prediction is not known: growth, and losses above a uniform guess."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.engine.diagnose.story import INFO, UNTOUCHED, stats_of

from vgrad.diagnose.judge import Judge
from vgrad.events.guesses import Guesses
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict

STEPS = 400


def judged(
    loss: list[float],
    norm: list[float] | None = None,
    *,
    uniform: float = math.nan,
    update: float = 1e-3,
    time: TimeStats | None = None,
) -> Verdict:
    """The verdict at the end of a run with these losses and norms."""
    judge = Judge(INFO)
    for index, value in enumerate(loss):
        size = 1.0 if norm is None else norm[index]
        norms = np.full(3, size / math.sqrt(3), dtype=np.float32)
        step = index + 1
        record = StepRecord(step, value, 0.1, 0.1, size, size, norms, 1, 32, 1, float(step), 1.0, 0.0)
        judge.observe(record, stats_of((update,) * 3), UNTOUCHED, time, Guesses(uniform))
    return judge.verdict


def wavy(level: float, steps: int = STEPS) -> list[float]:
    return [level * (1 + 0.02 * math.sin(7.0 * index)) for index in range(steps)]


def test_values_that_grow_by_a_little_at_each_step_explode() -> None:
    growing = [0.5 * 1.03**index for index in range(STEPS)]
    verdict = judged(growing, growing)
    assert (verdict.kind, verdict.rule) == ("exploding", "grown")
    assert "no single step" in verdict.evidence


@pytest.mark.parametrize("grows", ["loss", "norm"])
def test_a_loss_or_a_norm_that_grows_alone_does_not(grows: str) -> None:
    growing = [0.5 * 1.03**index for index in range(STEPS)]
    verdict = judged(growing, wavy(1.0)) if grows == "loss" else judged(wavy(1.0), growing)
    assert verdict.rule != "grown"


def test_it_is_over_once_the_loss_is_back() -> None:
    growing = [0.5 * 1.03**index for index in range(STEPS)]
    there_and_back = growing + wavy(0.1, 300)
    assert judged(there_and_back, there_and_back).rule != "grown"


def test_a_loss_that_falls_from_far_above_a_uniform_guess_and_stays_there_explodes() -> None:
    falling = [1e6 * 0.99**index + 10 for index in range(STEPS)]
    verdict = judged(falling, uniform=math.log(2))
    assert (verdict.kind, verdict.rule) == ("exploding", "above")
    assert "uniform guess costs 0.693" in verdict.evidence
    assert judged(falling).kind == "healthy", "nobody knows whether such a loss is large"
    soon_below = [1e6 * 0.9**index + 0.1 for index in range(STEPS)]
    assert judged(soon_below, uniform=math.log(2)).kind == "healthy"


def test_a_loss_that_stands_above_a_uniform_guess_has_overshot() -> None:
    verdict = judged(wavy(0.9), uniform=math.log(2), update=1e-2)
    assert (verdict.kind, verdict.rule) == ("exploding", "overshoot")
    assert judged(wavy(0.9), update=1e-2).kind == "stalled"
    assert judged(wavy(0.65), uniform=math.log(2), update=1e-2).kind == "stalled", "it may be the noise's"


def test_steps_of_a_twentieth_are_no_evidence_where_the_first_steps_have_learnt() -> None:
    learnt = [0.7 if index < 15 else value for index, value in enumerate(wavy(0.6))]
    assert judged(learnt, update=0.06).kind == "stalled"
    assert judged(learnt, update=0.2).rule == "overshoot", "a fifth of the weights at each step"


def test_steps_of_a_twentieth_are_evidence_of_weights_that_were_thrown() -> None:
    """Small weights tremble by much beside themselves where noise is all there is, and nothing is thrown."""
    assert judged(wavy(0.7), update=0.06).kind == "stalled"
    up_at_first = [0.7, *wavy(1.5, 10), *wavy(0.7)]
    norms = [1.0, *wavy(4.0, 10), *wavy(1.0)]
    assert judged(up_at_first, norms, update=0.06).rule == "overshoot"


def test_weights_that_hardly_move_vanish_only_where_a_uniform_guess_would_be_as_good() -> None:
    assert judged(wavy(0.693), uniform=math.log(2), update=5e-6).rule == "still"
    assert judged(wavy(0.693), update=5e-6).kind == "stalled"
    assert judged(wavy(0.5), uniform=math.log(2), update=5e-6).kind == "stalled"
    assert judged(wavy(0.693), uniform=math.log(2), update=1e-3).kind == "stalled"


def test_a_loss_that_was_high_for_a_while_and_is_low_again_has_not_overshot() -> None:
    harder = wavy(0.05) + wavy(3.0, 30) + wavy(0.5, 50)
    verdict = judged(harder, uniform=math.log(2), update=1e-2)
    assert verdict.kind in ("healthy", "stalled"), verdict.evidence
    assert judged(wavy(0.05) + wavy(3.0, 80), uniform=math.log(2), update=1e-2).kind == "exploding"


def test_a_wreck_that_comes_to_a_uniform_guess_has_learnt_nothing() -> None:
    def ending(last: float) -> Verdict:
        return judged([0.7, *wavy(1e3, 20), *wavy(0.75, 150), *wavy(last, 300)], uniform=math.log(2))

    assert ending(0.7).kind == "exploding"
    assert ending(0.3).kind in ("healthy", "stalled")


def test_an_explosion_whose_loss_is_back_for_forty_steps_is_over_at_once() -> None:
    calm, thrown = wavy(1.0, 200), [3.0, *wavy(20.0, 9)]
    losses, norms = [*calm, *thrown, *wavy(1.0, 60)], [*calm, *wavy(50.0, 10), *wavy(1.0, 60)]
    assert judged(losses[:220], norms[:220]).kind == "exploding"
    assert judged(losses, norms).kind in ("healthy", "stalled")


def test_losses_that_are_high_by_turns_with_ordinary_ones_belong_to_other_batches() -> None:
    by_turns = [50.0 * value if index % 2 else value for index, value in enumerate(wavy(0.5))]
    assert judged(by_turns, by_turns).kind in ("healthy", "stalled")
    thrown = [*wavy(0.5, 200), 3.0, *wavy(50.0, 199)]
    assert judged(thrown, thrown).kind == "exploding"


def test_nothing_jumps_beside_batches_that_have_no_gradient() -> None:
    """A policy that is not rewarded at first: loss and gradient are exactly zero, and then they are not."""
    losses = [0.0] * 3 + wavy(0.1, 20) + wavy(-0.3, 200)
    assert judged(losses, [abs(loss) for loss in losses]).kind in ("healthy", "stalled")


def over_time(ratio: float) -> TimeStats:
    """A gradient that falls evenly over thirty time steps, to this share of the last one's."""
    norms = np.geomspace(ratio, 1.0, 30).astype(np.float32)[None]
    return TimeStats(1, norms, math.log10(ratio) / 29, ratio, math.nan, ("recurrent",))


def test_what_vanishes_back_in_time_is_a_fault_only_of_a_run_that_has_learnt_nothing() -> None:
    guess = judged(wavy(0.69), uniform=math.log(2), time=over_time(1e-6))
    assert (guess.kind, guess.rule) == ("vanishing", "time")
    learnt = judged(wavy(0.54), uniform=math.log(2), time=over_time(1e-9))
    assert learnt.kind == "stalled", "it needs no long memory: the loss is below that of a guess"
    frequent = judged(wavy(0.61), uniform=math.log(2), time=over_time(1e-6))
    assert frequent.kind == "stalled", (
        "it knows how frequent each answer is, and there may be no more to know"
    )


def test_what_vanishes_back_in_time_is_no_fault_of_a_run_that_has_lost_most_of_its_first_loss() -> None:
    """As a model does that forecasts readings around a mean far from zero: the mean is all there is."""
    mean_alone = judged([17.0, *wavy(1.0)], time=over_time(1e-6))
    assert mean_alone.kind == "stalled"
    nothing = judged([1.05, *wavy(1.0)], time=over_time(1e-6))
    assert (nothing.kind, nothing.rule) == ("vanishing", "time")


def test_what_grows_back_in_time_explodes_in_a_run_that_has_learnt_nothing() -> None:
    losses = [3e21, *wavy(2e21)]
    grown = judged(losses, losses, time=over_time(1e12))
    assert (grown.kind, grown.rule) == ("exploding", "time-growth")
    assert grown.remedy
    learnt = judged(wavy(0.3), uniform=math.log(2), time=over_time(1e12))
    assert learnt.kind == "stalled", "it has learnt, whatever its gradient looks like"
    assert judged(losses, losses, time=over_time(100.0)).kind == "stalled", "it hardly grows"


def with_zero_shares(zero_shares: tuple[float, ...], *, loss: float, first: float = 0.0) -> Verdict:
    """The verdict on a run whose first layer gets nothing from step 2 on, beside a guess of log 2."""
    judge = Judge(INFO)
    stats = replace(stats_of((0.0, 1e-3, 1e-3)), zero_share=np.array(zero_shares, dtype=np.float32))
    for index, value in enumerate(wavy(loss)):
        norms = np.array([0.0 if index else first, 0.7, 0.7], dtype=np.float32)
        record = StepRecord(index + 1, value, 0.1, 0.1, 1.0, 1.0, norms, 1, 32, 1, float(index), 1.0, 0.0)
        judge.observe(record, stats, UNTOUCHED, None, Guesses(math.log(2)))
    return judge.verdict


def test_layers_that_get_zeros_are_saturated_where_their_outputs_are_not_zero_and_nothing_is_learnt() -> None:
    saturated = with_zero_shares((1.0, 0.0, 0.0), loss=0.7)
    assert (saturated.kind, saturated.rule) == ("vanishing", "saturated")
    assert "scale the inputs" in saturated.advice
    assert with_zero_shares((1.0, 0.0, 0.0), loss=0.7, first=0.1).rule == "saturated", (
        "from the second step on"
    )
    assert with_zero_shares((1.0, 0.9, 0.0), loss=0.7).kind == "dead", "the layer above gets zeros to read"
    unused = with_zero_shares((1.0, 0.0, 0.0), loss=0.4)
    assert (unused.kind, unused.tags) == ("stalled", ("unused",)), "the run has learnt without that layer"
    frozen = with_zero_shares((math.nan, 0.0, 0.0), loss=0.7)
    assert frozen.kind == "stalled", "there was no gradient to measure"


@pytest.mark.parametrize(("level", "expected"), [(-0.03, "healthy"), (0.03, "exploding")])
def test_losses_around_zero_do_not_jump_before_they_have_a_past(level: float, expected: str) -> None:
    """As another player's first steps make them."""
    losses = [level, 2 * level, 3 * level, 0.1, 0.4, 1.1, 1.6, *wavy(1.5, 20)]
    norms = [0.15, 0.1, 0.3, 1.5, 2.0, 2.4, 2.4, *wavy(2.0, 20)]
    assert judged(losses, norms).kind == expected
