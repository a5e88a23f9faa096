"""High losses among the first steps: what is an explosion, and when a run has come back from one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.engine.diagnose.story import INFO, KNOWN, UNTOUCHED, Story

from vgrad.diagnose.gradient_ends import GradientEnds
from vgrad.diagnose.judge import Judge
from vgrad.diagnose.layer_activity import LayerActivity
from vgrad.events.guesses import Guesses
from vgrad.events.step_record import StepRecord
from vgrad.events.verdict import Verdict

THROWN = (0.3, 0.3, 0.3)  # shares of their weights by which the layers were moved


def test_high_losses_that_come_as_often_later_are_the_datas() -> None:
    story = Story().tell(1, loss=1.0, updates=THROWN)
    for _ in range(40):
        story.tell(4, loss=1.0, updates=THROWN).tell(1, loss=9.0, updates=THROWN)
    assert set(story.changes) <= {"healthy"}


def test_the_same_high_losses_among_the_first_alone_are_an_explosion() -> None:
    story = Story().tell(1, loss=1.0, updates=THROWN)
    story.tell(6, loss=9.0, updates=THROWN).tell(200, loss=1.0, updates=THROWN)
    assert "exploding" in story.changes


def test_a_loss_that_was_high_is_well_again_once_it_is_below_the_first() -> None:
    story = Story().tell(1, loss=1.0, updates=THROWN).tell(40, loss=4.0, updates=THROWN)
    assert story.judge.verdict.kind == "exploding"
    assert story.tell(60, loss=0.8).is_well
    assert story.tell(400, loss=0.8).is_well, "a floor below where it began is no wreck"


def test_a_loss_that_comes_back_to_where_it_began_has_not_recovered() -> None:
    story = Story().tell(1, loss=1.0, updates=THROWN).tell(40, loss=4.0, updates=THROWN)
    assert story.tell(400, loss=1.0).judge.verdict.kind == "exploding"


def test_a_loss_that_was_low_by_luck_and_stays_below_a_guess_has_not_exploded() -> None:
    """As while a queue of keys is filled: at first there is nothing that is hard to tell apart."""

    def with_first_loss(first: float, uniform: float) -> str:
        judge = Judge(INFO)
        for step in range(1, 400):
            loss = first if step == 1 else 3.0 * (1 + 0.02 * math.sin(7.0 * step))
            norms = np.full(3, 0.6, dtype=np.float32)
            record = StepRecord(step, loss, 0.1, 0.1, 1.0, 1.0, norms, 1, 32, 1, float(step), 1.0, 0.0)
            judge.observe(record, None, UNTOUCHED, None, Guesses(uniform))
        return judge.verdict.kind

    assert with_first_loss(0.5, uniform=5.5) == "stalled"
    assert with_first_loss(0.5, uniform=2.3) == "exploding", "no better than a guess"
    assert with_first_loss(0.5, uniform=math.nan) == "exploding", "nobody knows what a guess costs"


def test_a_jolted_stack_whose_gradient_had_vanished_at_the_first_step_is_vanishing() -> None:
    shares, still = (1e-9, 1e-3, 1.0), (1e-12, 1e-6, 1e-2)
    story = Story().tell(1, loss=1.0, shares=shares, updates=THROWN)
    story.tell(6, loss=4.0, shares=shares, updates=THROWN).tell(400, loss=1.0, shares=shares, updates=still)
    assert "exploding" in story.changes
    assert (story.judge.verdict.kind, story.judge.verdict.rule) == ("vanishing", "depth")


def wavy(story: Story, num_steps: int, level: float) -> Story:
    """Losses that are noisy around a level."""
    for step in range(num_steps):
        story.tell(1, loss=level * (1 + 0.1 * math.sin(7.0 * step)))
    return story


def exploded(first: float, *, before: float, after: float) -> Verdict:
    """The verdict on a run that explodes at step 85, within its first steps, and comes to stand still."""
    story = wavy(Story(info=KNOWN).tell(5, loss=first), 80, before)
    story.tell(1, loss=before, norm=90.0).tell(9, loss=5.0, norm=90.0)
    assert story.judge.verdict.kind == "exploding"
    return wavy(story, 500, after).judge.verdict


def test_a_run_that_had_learnt_has_recovered_once_its_loss_is_where_it_was_but_for_noise() -> None:
    assert exploded(6.0, before=1.0, after=1.0).kind == "stalled"
    assert exploded(6.0, before=0.98, after=1.0).kind == "stalled", "noise alone may do that"
    higher = exploded(6.0, before=0.98, after=1.2)
    assert (higher.kind, higher.rule) == ("exploding", "lost")


def test_a_run_that_had_learnt_nothing_has_not_recovered_by_coming_to_a_constant_prediction() -> None:
    lower = exploded(1.5, before=1.4, after=1.0)
    assert (lower.kind, lower.rule) == ("exploding", "lost")


def test_a_first_layer_that_gets_its_first_gradient_late_is_the_first_from_then_on() -> None:
    """Where the last layer starts at zero, nothing passes it at the first step."""
    activity, ends = LayerActivity(3), GradientEnds((100, 100, 100))
    for norms in ([0.0, 0.0, 1.0], *[[1e-5, 1e-3, 1.0]] * 150):
        activity.observe(np.array(norms, dtype=np.float32))
        ends.observe(np.array(norms, dtype=np.float32), activity)
    assert (ends.first, ends.last) == (0, 2)
    assert ends.ratio() == pytest.approx(1e-5)
