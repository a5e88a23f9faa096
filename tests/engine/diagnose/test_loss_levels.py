"""Losses whose level changes for other reasons than long steps: another loss, other data, a lucky start."""

from __future__ import annotations

import math

import numpy as np
from tests.engine.diagnose.story import INFO, UNTOUCHED, Story, stats_of
from tests.engine.diagnose.test_without_baseline import judged, wavy

from vgrad.diagnose.explosions import ExplosionWatch
from vgrad.diagnose.judge import Judge
from vgrad.events.guesses import Guesses
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict

LOG_4 = math.log(4)


def test_a_leap_at_a_calm_step_sets_a_new_level_that_a_run_may_come_back_to() -> None:
    """A part of the loss is weighted more from step 201 on: an optimizer's next steps make it jump, too."""
    calm, after = wavy(0.5, 200), [5.0, *wavy(9.0, 20), *wavy(4.0, 200)]
    norms = [*calm, *wavy(30.0, 221)]
    assert judged([*calm, *after[:10]], norms).kind == "exploding"
    assert judged([*calm, *after], norms).kind in ("healthy", "stalled")


def test_what_is_thrown_far_beyond_that_level_has_to_come_back_to_where_it_was() -> None:
    calm, after = wavy(0.5, 200), [5.0, *wavy(90.0, 20), *wavy(4.0, 200)]
    assert judged([*calm, *after], [*calm, *wavy(30.0, 221)]).kind == "exploding"


def test_a_loss_that_a_long_step_has_raised_sets_no_level() -> None:
    calm = wavy(0.5, 200)
    losses = [*calm, 0.5, 5.0, *wavy(9.0, 20), *wavy(4.0, 200)]
    assert judged(losses, [*calm, *wavy(30.0, 223)]).kind == "exploding"


def test_the_largest_leap_at_a_calm_step_is_the_one_that_counts() -> None:
    """A bad batch comes right before the data change: its loss is no level."""
    calm, after = wavy(0.1, 200), [0.17, 2.0, *wavy(2.5, 60)]
    norms = [*calm, 0.1, *wavy(3.0, 61)]
    assert judged([*calm, *after], norms).kind in ("healthy", "stalled")


def is_exploding(losses: list[float]) -> bool:
    watch = ExplosionWatch(is_loss_known=False)
    return [watch.observe(step, loss, 1.0, clipped=False) for step, loss in enumerate(losses, 1)][-1]


def test_a_first_loss_that_was_low_by_luck_is_no_level() -> None:
    noisy = [2.0, 0.8, 3.0, 0.4] * 30
    assert not is_exploding([0.3, 2.0, *noisy, *wavy(1.5, 25)])
    assert is_exploding([0.3, 0.3, 0.3, 2.0, *wavy(0.3, 80), *wavy(1.5, 25)])


def silent_and_no_better_than(loss: float) -> Verdict:
    """A head learns the best constant from a bad start, and the layers below it never get a gradient."""
    judge = Judge(INFO)
    shares = np.array([0.0, 0.0, 1.0], dtype=np.float32)
    for index, value in enumerate([5.0 * 0.7**index + loss for index in range(20)] + wavy(loss, 400)):
        step = index + 1
        record = StepRecord(step, value, 0.1, 0.1, 1.0, 1.0, shares, 1, 32, 1, float(step), 1.0, 0.0)
        judge.observe(record, stats_of((0.0, 0.0, 1e-3)), UNTOUCHED, None, Guesses(LOG_4))
    return judge.verdict


def test_silent_layers_are_dead_where_the_loss_is_that_of_a_uniform_guess() -> None:
    assert silent_and_no_better_than(LOG_4).kind == "dead"
    assert silent_and_no_better_than(0.5).kind in ("healthy", "stalled"), "they may be frozen or unused"


def test_a_gradient_that_vanishes_in_time_shows_it_where_a_uniform_guess_would_be_as_good() -> None:
    norms = np.logspace(-12, 0, 60, dtype=np.float32)[None]
    fading = TimeStats(400, norms, -0.2, 1e-12, math.nan, ())

    def verdict(last: float) -> Verdict:
        judge = Judge(INFO)
        for index, value in enumerate([*wavy(1.1 * LOG_4, 25), *wavy(last, 500)]):
            shares = np.ones(3, dtype=np.float32)
            record = StepRecord(
                index + 1, value, 0.1, 0.1, 1.7, 1.7, shares, 1, 32, 1, float(index), 1.0, 0.0
            )
            judge.observe(record, stats_of((1e-3,) * 3), UNTOUCHED, fading, Guesses(LOG_4))
        return judge.verdict

    assert verdict(LOG_4).rule == "time"
    assert verdict(0.9 * LOG_4).kind in ("healthy", "stalled"), "it has learnt what needs no memory"


def test_steps_of_any_length_have_not_led_nowhere_where_most_of_the_loss_is_gone() -> None:
    learnt = [4.0, *wavy(0.6)]
    assert judged(learnt, update=0.2).kind == "stalled"
    assert judged([0.8, *wavy(0.6)], update=0.2).rule == "overshoot"
    assert judged(learnt, update=0.2, uniform=0.6).rule == "overshoot", "a uniform guess would be as good"


def up_with_its_norm(*, then: list[float]) -> list[str]:
    """The verdicts of a run whose loss and norm rise a hundredfold after 200 calm steps, up to its end."""
    story = Story()
    for index in range(200):
        story.tell(1, loss=0.2 + 0.05 * math.sin(7.0 * index))
    story.explode(loss=20.0, norm=30.0, before=0.2)
    for index, loss in enumerate(then):
        story.tell(1, loss=loss, norm=30.0 + 20.0 * math.sin(3.0 * index))
    return story.changes


def test_a_loss_that_has_been_below_zero_has_no_level_to_come_back_to() -> None:
    swinging = [20.0 * math.sin(7.0 * index) for index in range(120)]
    assert up_with_its_norm(then=swinging) == ["healthy", "exploding", "healthy"]


def test_a_loss_that_stays_above_zero_or_is_rounded_to_less_goes_on_exploding() -> None:
    above = [20.0 + 19.9 * math.sin(7.0 * index) for index in range(120)]
    assert up_with_its_norm(then=above)[-1] == "exploding"
    rounded = [20.0 + 20.0005 * math.sin(7.0 * index) for index in range(120)]
    assert min(rounded) < 0
    assert up_with_its_norm(then=rounded)[-1] == "exploding"


def around_zero(*, leap: float) -> list[str]:
    """The verdicts of a run whose losses are on both sides of zero, and then rise with the norm."""
    story = Story()
    for index in range(200):
        story.tell(1, loss=0.2 + math.sin(7.0 * index))
    story.explode(loss=leap, norm=30.0, before=0.2)
    for index in range(20):
        story.tell(1, loss=leap, norm=30.0 + 20.0 * math.sin(3.0 * index))
    return story.changes


def test_around_zero_a_loss_leaps_by_ten_times_its_range() -> None:
    assert around_zero(leap=15.0) == ["healthy"]
    assert around_zero(leap=25.0) == ["healthy", "exploding"]
