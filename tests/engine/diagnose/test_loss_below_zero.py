"""A loss below zero, as a log likelihood or a cosine has, stands still like any other."""

from __future__ import annotations

import math

import pytest
from tests.engine.diagnose.story import Story

from vgrad.events.verdict import Verdict

STEPS = 400


def judged(levels: list[float], shares: tuple[float, ...]) -> Verdict:
    """The verdict at the end of a run with these levels of the loss, under a little noise."""
    story = Story()
    for index, level in enumerate(levels):
        noise = 0.02 * math.sin(7.0 * index)
        story.tell(1, loss=level + noise, shares=shares, updates=(1e-9, 1e-4, 1e-3))
    return story.judge.verdict


@pytest.mark.parametrize("level", [2.0, -0.5, -2.0])
def test_a_first_layer_that_gets_nothing_is_found_on_either_side_of_zero(level: float) -> None:
    verdict = judged([level] * STEPS, (1e-8, 1e-4, 1.0))
    assert (verdict.kind, verdict.rule) == ("vanishing", "depth")


@pytest.mark.parametrize("level", [2.0, -2.0])
def test_what_stands_still_from_its_start_is_stalled_on_either_side_of_zero(level: float) -> None:
    assert judged([level] * STEPS, (0.5, 0.8, 1.0)).kind == "stalled"


@pytest.mark.parametrize(("early", "late"), [(2.0, 0.8), (-2.0, -3.2), (0.5, -2.0)])
def test_what_came_far_below_its_start_has_learnt_and_is_not_starved(early: float, late: float) -> None:
    verdict = judged([early] * 60 + [late] * STEPS, (1e-8, 1e-4, 1.0))
    assert verdict.kind == "healthy"
