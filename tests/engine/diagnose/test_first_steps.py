"""High losses among the first steps, where nobody knows what a constant prediction costs."""

from __future__ import annotations

from tests.engine.diagnose.story import Story

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


def test_a_jolted_stack_whose_gradient_had_vanished_at_the_first_step_is_vanishing() -> None:
    shares, still = (1e-9, 1e-3, 1.0), (1e-12, 1e-6, 1e-2)
    story = Story().tell(1, loss=1.0, shares=shares, updates=THROWN)
    story.tell(6, loss=4.0, shares=shares, updates=THROWN).tell(400, loss=1.0, shares=shares, updates=still)
    assert "exploding" in story.changes
    assert (story.judge.verdict.kind, story.judge.verdict.rule) == ("vanishing", "depth")
