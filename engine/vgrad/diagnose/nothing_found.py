"""The verdict where no rule has found anything: too early to tell, healthy, or stalled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vgrad.diagnose.confidence import CONFIDENCE
from vgrad.diagnose.layer_activity import names_in_words
from vgrad.diagnose.losses import STALL_STEPS
from vgrad.diagnose.one_digit import one_digit
from vgrad.diagnose.rules import tags
from vgrad.diagnose.symptoms import NOTHING_LEARNT, RATIO_HOPELESS
from vgrad.events.verdict import Verdict

if TYPE_CHECKING:
    from vgrad.diagnose.losses import LossTrend
    from vgrad.diagnose.parts import JudgeParts
    from vgrad.diagnose.symptoms import Symptoms


def nothing_found(symptoms: Symptoms, parts: JudgeParts) -> Verdict:
    """Say how the run is, with what is worth knowing of it as tags.

    A loss that does not fall beyond its noise over 200 steps may do so over more: `SlowProgress` is asked
    before a run is called stalled.
    A run whose first layer gets next to nothing is not called healthy before it has learnt something: until
    a stall could be seen it is too early to tell.
    """
    losses, rates = parts.losses, parts.rates
    evidence = f"‖g‖ {parts.explosions.calm_norm:.2g}"
    if np.isfinite(symptoms.ratio):  # not where no layer has a gradient
        evidence += f", first to last layer {symptoms.ratio:.2g}"
    if np.isfinite(symptoms.updates).any():
        evidence += f", weights move by {one_digit(float(np.nanmedian(symptoms.updates)))} a step"
    found = tags(symptoms)
    unused = np.flatnonzero(parts.activity.unused)
    if unused.size:
        found += ("unused",)
        evidence += f"; {names_in_words(symptoms.names, unused)} never got a gradient"
    if rates.is_finished:
        found += ("finished",)
        evidence += f"; the learning rate is {one_digit(rates.now)}: the run is finished"
    if parts.overfitting.is_found:
        found += ("overfitting",)
        evidence += f"; {parts.overfitting.words()}"
    if parts.explosions.has_spiked:
        found += ("spike",)
    may_learn_slowly = losses.slow_progress.is_found and not rates.is_finished
    if losses.is_stalled and not may_learn_slowly:
        evidence += f"; {symptoms.stall}"
        if not rates.is_finished:  # which is why
            evidence += ", and the gradients do not say why"
        return Verdict("stalled", evidence, rule="stalled", confidence=CONFIDENCE["stalled"], tags=found)
    if symptoms.ratio < RATIO_HOPELESS and not _has_learnt(losses):
        evidence += f"; whether it learns all the same shows within {STALL_STEPS} steps"
        return Verdict("starting", evidence, tags=found)
    return Verdict("healthy", evidence, rule="learning", confidence=CONFIDENCE["learning"], tags=found)


def _has_learnt(losses: LossTrend) -> bool:
    """Whether the loss has fallen, or would by now be known to stand still."""
    if not 0 < losses.num_seen < STALL_STEPS:
        return True
    return losses.recent < losses.first - NOTHING_LEARNT * abs(losses.first)
