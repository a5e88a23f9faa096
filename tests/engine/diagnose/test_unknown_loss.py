"""Explosions of runs whose loss is not known, and remedies that would have acted."""

from __future__ import annotations

import math

import pytest
from tests.engine.diagnose.story import UNTOUCHED, Story

from vgrad.controls.controls import Reinit, Set
from vgrad.diagnose.norm_watch import NormWatch
from vgrad.diagnose.remedies import against_non_finite
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.skip_non_finite import SkipNonFinite


def watched(norms: list[float], update: float = math.nan) -> list[bool]:
    watch = NormWatch()
    return [watch.observe(step, norm, update) for step, norm in enumerate(norms, 1)]


def test_a_norm_far_up_for_ten_steps_explodes_and_is_over_when_it_is_back() -> None:
    found = watched([1.0] * 60 + [500.0] * 15 + [1.0] * 5)
    assert not any(found[:69])
    assert all(found[69:75])
    assert not any(found[75:])


@pytest.mark.parametrize(
    "norms", [[1.0] * 60 + [500.0] * 9 + [1.0] * 9, [1.0] * 60 + [30.0] * 40, [1.0] * 99]
)
def test_spikes_and_a_harder_problem_do_not(norms: list[float]) -> None:
    assert not any(watched(norms))


def test_weights_that_are_replaced_in_one_step_need_a_long_gradient_too() -> None:
    assert any(watched([1.0] * 60 + [20.0], update=2.0))
    assert not any(watched([1.0] * 61, update=2.0))


def test_the_verdict_of_an_unknown_loss_is_exploding_and_clips() -> None:
    story = Story()
    story.tell(60, loss=None)
    story.tell(12, loss=None, norm=900.0)
    verdict = story.judge.verdict
    assert (verdict.kind, verdict.rule) == ("exploding", "norm")
    assert verdict.remedy == (Set("clip", ClipGradNorm(1.0)),)
    assert story.tell(2, loss=None).judge.verdict.kind == "healthy"


def test_clipping_is_no_remedy_of_a_nan_that_an_ordinary_gradient_came_before() -> None:
    clip, slower = (Set("clip", ClipGradNorm(1.0)), Reinit("torch")), Reinit("torch")
    assert against_non_finite(UNTOUCHED, 1.0, 50.0)[0] == clip
    assert against_non_finite(UNTOUCHED, 1.0, 1.2)[0] == (Set("skip_non_finite", SkipNonFinite()), slower)
    assert against_non_finite(UNTOUCHED, math.nan, math.nan)[0][0] == Set("skip_non_finite", SkipNonFinite())
