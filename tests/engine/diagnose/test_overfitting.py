"""The overfitting tag: set with both numbers where validation turns, and only there."""

from __future__ import annotations

import math

import pytest
from tests.engine.diagnose.story import KNOWN, Story


def told(val: float, *, train: float, known: bool = False) -> Story:
    """A run that validates well at a training loss of .8, and so at last."""
    story = Story(info=KNOWN) if known else Story()
    story.tell(120, loss=0.8)
    if not known:
        story.judge.validated(story.step, 0.9)
    story.tell(120, loss=train)
    story.judge.validated(story.step, val)
    return story.tell(40, loss=train)


@pytest.mark.parametrize(
    ("val", "train", "is_found"),
    [
        (1.5, 0.2, True),
        (0.95, 0.2, False),  # within the noise
        (0.7, 0.2, False),
        (1.5, 0.8, False),  # the training loss stood still
        (math.nan, 0.2, False),
    ],
)
def test_the_validation_loss_has_risen_while_the_training_loss_fell(
    val: float, train: float, is_found: bool
) -> None:
    verdict = told(val, train=train).judge.verdict
    assert ("overfitting" in verdict.tags) == is_found
    assert verdict.kind in ("healthy", "stalled")
    if is_found:
        assert "validation loss 0.9 (step 120) → 1.5" in verdict.evidence
        assert "training loss went 0.8 → 0.2" in verdict.evidence


def test_one_validation_above_a_constant_prediction_is_enough() -> None:
    assert "overfitting" in told(5.3, train=0.19, known=True).judge.verdict.tags
    assert "above the 1 of a constant prediction" in told(5.3, train=0.19, known=True).judge.verdict.evidence
    assert "overfitting" not in told(0.9, train=0.19, known=True).judge.verdict.tags


def test_it_goes_again_when_validation_comes_down() -> None:
    story = told(1.5, train=0.2)
    story.judge.validated(story.step, 0.5)
    assert "overfitting" not in story.tell(40, loss=0.2).judge.verdict.tags
