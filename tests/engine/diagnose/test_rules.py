"""Each rule with a run of either side: one that has what the rule claims, and one that only looks so."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.engine.diagnose.story import INFO, KNOWN, UNTOUCHED, Story, stats_of

from vgrad.controls.controls import Controls, Reinit, Set
from vgrad.diagnose.judge import Judge
from vgrad.events.step_record import StepRecord
from vgrad.events.verdict import Verdict
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm

CALM = {"updates": (1e-3,) * 3}


def noisy(
    num_steps: int, *, norm: float = 1.0, noise_of_norm: float = 0.3, growth: float = 0.0, seed: int = 0
) -> Verdict:
    """The verdict on a run whose loss is 2 with a noise of a tenth, and whose norm is as asked for."""
    rng = np.random.default_rng(seed)
    story = Story()
    for step in range(num_steps):
        now = (norm + growth * step) * (1 + noise_of_norm * float(rng.uniform(-1, 1)))
        story.tell(1, loss=2 + 0.2 * float(rng.normal()), norm=now, updates=(1e-3,) * 3)
    return story.judge.verdict


def test_a_gradient_is_faint_if_it_can_do_nothing_beside_what_batches_differ_by() -> None:
    faint = noisy(400, norm=1e-5)
    assert (faint.kind, faint.rule) == ("vanishing", "faint")
    assert "differ from batch to batch" in faint.evidence
    at_its_floor = noisy(400, norm=1.0)
    assert at_its_floor.kind == "stalled", "each batch's gradient is as large as ever"
    assert at_its_floor.remedy == ()


def test_a_gradient_is_not_faint_beside_what_the_loss_fell_by_before() -> None:
    """All data at each step: the loss comes to the best there is, and the gradient to nothing."""
    story = Story()
    for step in range(600):
        left = math.exp(-step / 12)
        story.tell(1, loss=1 + 5 * left, norm=max(left, 1e-9), updates=(1e-5,) * 3)
    assert story.judge.verdict.kind == "stalled"


def test_a_gradient_that_fades_after_the_run_stood_still_is_not_why_it_does() -> None:
    """Weights that have nothing to learn decay, and with them what reaches the first layer."""
    updates = (5e-3, 1e-3, 1e-3)
    decayed = noisy_story(300, shares=(0.2, 1.0, 1.0), updates=updates)
    noisy_story(400, decayed, shares=(1e-3, 1.0, 1.0), updates=updates)
    assert decayed.judge.verdict.kind == "stalled"
    starved = noisy_story(700, shares=(1e-3, 1.0, 1.0), updates=updates)
    assert (starved.judge.verdict.kind, starved.judge.verdict.rule) == ("vanishing", "depth")


def noisy_story(
    num_steps: int, story: Story | None = None, *, shares: tuple[float, ...], updates: tuple[float, ...]
) -> Story:
    """A run whose loss is 1 but for noise, or what follows of one."""
    story = Story() if story is None else story
    rng = np.random.default_rng(story.step)
    for _ in range(num_steps):
        story.tell(1, loss=1 + 0.1 * float(rng.normal()), shares=shares, updates=updates)
    return story


def test_gradients_are_sums_if_they_grow_and_hardly_change_while_losses_do() -> None:
    sums = noisy(400, norm=0.2, noise_of_norm=1e-4, growth=0.2)
    assert (sums.kind, sums.rule, sums.tags) == ("exploding", "sums", ("never-zeroed",))
    assert "zero_grad" in sums.advice
    assert noisy(400, norm=0.2, noise_of_norm=0.3, growth=0.2).rule != "sums", "they change as losses do"
    assert noisy(400, norm=0.2, noise_of_norm=1e-4).rule != "sums", "they do not grow"


def test_a_data_set_that_becomes_harder_explodes_nothing() -> None:
    harder = Story().tell(200, loss=0.1, norm=0.1).tell(300, loss=0.6, norm=2.0)
    assert harder.changes == ["healthy"], "the loss was as high before any long step was made"
    thrown = Story().tell(200, loss=0.1, norm=0.1).tell(1, loss=0.1, norm=9.0).tell(300, loss=0.6, norm=2.0)
    assert "exploding" in thrown.changes


def test_harder_data_whose_batches_differ_much_explode_nothing_for_long() -> None:
    def after_a_calm(high: float, norm: float) -> Story:
        rng = np.random.default_rng(0)
        story = Story().tell(40, loss=1.0).tell(160, loss=1e-4, norm=1e-4).tell(1, loss=0.2, norm=1.4)
        for _ in range(300):
            story.tell(1, loss=high * float(np.exp(rng.normal(0, 0.7))), norm=norm, updates=(1e-2,) * 3)
        return story

    assert after_a_calm(0.24, 1.5).is_well, "the first batch of these data was as high as most"
    assert not after_a_calm(2.0, 9.0).is_well, "the steps after it have thrown the weights"


def test_losses_near_zero_may_jump_by_any_factor() -> None:
    story = Story().tell(50, loss=1.0).tell(150, loss=1e-9, norm=1e-6)
    for _ in range(5):
        story.tell(1, loss=1e-9, norm=1e-3).tell(5, loss=1e-5, norm=1e-3).tell(40, loss=1e-9, norm=1e-6)
    assert story.changes == ["healthy"]


@pytest.mark.parametrize(("times", "expected"), [(8.0, "exploding"), (1.9, "healthy")])
def test_a_loss_alone_is_evidence_only_of_far_more_than_others_reasons(times: float, expected: str) -> None:
    story = Story().tell(1, loss=0.5).tell(60, loss=0.5 * times)
    assert story.changes[-1:] == [expected]
    assert Story(info=KNOWN).tell(1, loss=1.1).tell(60, loss=2.2).changes[-1:] == ["exploding"], (
        "that is above what a constant prediction costs"
    )


def silent(
    norms: tuple[float, ...], zero_share: tuple[float, ...], *, before: tuple[float, ...] | None = None
) -> Verdict:
    """The verdict on a run that stands still, with layers that get nothing from step 60 on, or ever."""
    judge = Judge(INFO)
    stats = replace(stats_of((1e-3,) * 3), zero_share=np.array(zero_share, dtype=np.float32))
    for step in range(1, 321):
        now = np.array(norms if before is None or step > 60 else before, dtype=np.float32)
        record = StepRecord(step, 1.0, 0.1, 0.1, 1.0, 1.0, now, 1, 1, 1, float(step), 1.0, 0.0)
        judge.observe(record, stats, UNTOUCHED)
    return judge.verdict


def test_first_layers_are_dead_if_nothing_passes_the_last_of_them() -> None:
    blocked = silent((0.0, 0.0, 1.0), (1.0, 1.0, 0.95))
    assert (blocked.kind, blocked.layers) == ("dead", (0, 1))
    beside = silent((0.0, 1.0, 1.0), (1.0, 0.0, 0.0))
    assert beside.kind == "stalled", "the layer above it gets inputs from elsewhere"
    assert "unused" in beside.tags and "first never got a gradient" in beside.evidence


def test_a_branch_that_gets_nothing_is_unused_and_no_sickness() -> None:
    never = silent((1.0, 0.0, 1.0), (0.0, 1.0, 0.0))
    assert (never.kind, never.remedy) == ("stalled", ())
    assert "middle never got a gradient" in never.evidence
    no_longer = silent((1.0, 0.0, 1.0), (0.0, 1.0, 0.0), before=(1.0, 1.0, 1.0))
    assert no_longer.kind == "stalled", "a router may stop choosing an expert"
    assert "unused" not in no_longer.tags


def test_a_loss_that_depends_on_no_weight_is_dead_and_one_that_is_satisfied_is_not() -> None:
    assert silent((0.0,) * 3, (1.0,) * 3).kind == "dead"
    satisfied = silent((0.0,) * 3, (1.0,) * 3, before=(1.0,) * 3)
    assert satisfied.kind == "stalled"


def test_one_batch_without_a_gradient_kills_nothing() -> None:
    story = Story().tell(300, **CALM).tell(20, shares=(0.0,) * 3, **CALM)
    assert story.is_well


def test_a_rate_of_zero_is_held_back_on_purpose() -> None:
    story = Story(info=KNOWN).tell(100, loss=0.9, updates=(1e-3,) * 3)
    story.tell(400, loss=0.9, updates=(0.0,) * 3, lr=0.0)
    assert story.is_well
    assert "finished" in story.judge.verdict.tags
    assert "do not say why" not in story.judge.verdict.evidence, "the rate says why"
    stuck = Story(info=KNOWN).tell(100, loss=0.9, updates=(1e-3,) * 3)
    assert stuck.tell(400, loss=0.9, updates=(0.0,) * 3).judge.verdict.kind == "vanishing"


def test_a_clip_that_is_proposed_would_have_clipped() -> None:
    jumped = Story().tell(50, norm=2.0).explode(loss=9.0, norm=99.0).judge.verdict
    (clip,) = jumped.remedy
    assert isinstance(clip, Set) and isinstance(clip.value, ClipGradNorm)
    assert clip.value.max_norm < 99.0 / 3
    unclipped = Story(info=KNOWN).tell(1, loss=1.1, norm=3000.0).tell(30, loss=5.0, norm=800.0).judge.verdict
    assert unclipped.kind == "exploding"
    assert unclipped.remedy == (Set("lr_scale", 0.1),), "its gradient was never larger than at first"


def test_what_explodes_of_tiny_batches_is_offered_more_samples_then_a_lower_rate() -> None:
    def remedy(controls: Controls) -> object:
        story = Story(controls, info=KNOWN).tell(1, loss=1.1, num_samples=1)
        return story.tell(30, loss=9.0, norm=30.0, num_samples=1).judge.verdict.remedy

    assert remedy(Controls()) == (Set("accumulate", MeanOver(16)),)
    assert remedy(Controls(accumulate=MeanOver(16))) == (Set("lr_scale", 1 / 16),)


def test_a_loss_that_is_not_known_is_no_reason_to_say_nothing() -> None:
    judge = Judge(INFO)
    for step in range(1, 201):
        norms = np.array((0.0, 0.0, 1.0) if step < 190 else (0.0, 0.0, math.inf), dtype=np.float32)
        norm = float(norms.max())
        record = StepRecord(step, None, 0.1, 0.1, norm, norm, norms, 1, 1, 1, float(step), 1.0, 0.0)
        stats = replace(stats_of((1e-3,) * 3), zero_share=np.array((1.0, 1.0, 0.95), dtype=np.float32))
        judge.observe(record, stats, UNTOUCHED)
        if step == 160:
            assert judge.verdict.kind == "dead"
    assert judge.verdict.kind == "non-finite"
    assert Reinit("torch") in judge.verdict.remedy


def test_a_layer_that_is_frozen_while_it_learns_has_not_vanished() -> None:
    """Its gradient is exactly zero at once; one that vanishes becomes small before."""
    for before, kind in (((1.0, 1.0, 1.0), "stalled"), ((1e-12, 1e-6, 1.0), "vanishing")):
        story = Story().tell(100, loss=1.0, shares=before, updates=(1e-3,) * 3)
        story.tell(300, loss=0.97, shares=(0.0, 1.0, 1.0), updates=(0.0, 1e-3, 1e-3))
        assert story.judge.verdict.kind == kind


def test_how_far_a_single_number_moves_beside_itself_means_nothing() -> None:
    """A bias near zero moves by many times itself; a layer of many weights does not."""
    for size, kind in ((1, "stalled"), (100, "exploding")):
        info = replace(INFO, layer_sizes=(100, size, size))
        story = Story(info=info)
        for step in range(400):
            loss = 1 + 0.1 * math.sin(7.0 * step)
            story.tell(1, loss=loss, updates=(1e-3, 0.5, 0.5))
        assert story.judge.verdict.kind == kind
