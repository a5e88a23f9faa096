"""What a rule has found, put into a verdict: the numbers in words, the remedy and the confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vgrad.diagnose.confidence import CONFIDENCE
from vgrad.diagnose.non_finite_origin import non_finite_in_words
from vgrad.diagnose.remedies import Explosion, against, against_explosion, against_non_finite
from vgrad.events.verdict import Verdict, VerdictKind

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls
    from vgrad.diagnose.finding import Finding
    from vgrad.diagnose.gradient_sums import GradientSums
    from vgrad.diagnose.parts import JudgeParts
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_record import StepRecord

ExplosionRule = Literal["jump", "lost", "wreck", "grown", "above"]
"""How the loss shows an explosion: it jumped, never recovered, came back to a constant prediction only,
grew without a jump, or stayed far above a uniform guess."""


def verdict_on_non_finite(
    record: StepRecord, parts: JudgeParts, info: RunInfo, controls: Controls, forward_origin: str
) -> Verdict:
    """A loss or a gradient is NaN or infinite; ``forward_origin`` says where that began, if it is known."""
    bad = np.flatnonzero(~np.isfinite(record.grad_norms))
    remedy, advice = against_non_finite(controls, parts.explosions.calm_norm, parts.explosions.recent_norm)
    return _verdict(
        "non-finite",
        "non-finite",
        non_finite_in_words(record, info.layers, forward_origin),
        layers=tuple(bad.tolist()),
        remedy=remedy,
        advice=advice,
    )


def verdict_on_sums(sums: GradientSums) -> Verdict:
    """The gradients are never set to zero, so each step is made with the sum of all so far."""
    advice = "call optimizer.zero_grad() before each backward pass; nothing that can be set here replaces it"
    return _verdict("exploding", "sums", sums.words(), advice=advice, tags=("never-zeroed",))


def verdict_on_norms(parts: JudgeParts, step: int, controls: Controls) -> Verdict:
    """The gradient norms show an explosion, and the loss is not known."""
    norms = parts.norms
    explosion = Explosion(
        norms.calm_norm, norms.peak, num_samples=0, is_lost=False, is_tried=parts.changes.are_tried(step)
    )
    remedy, advice = against_explosion(controls, explosion)
    return _verdict("exploding", "norm", norms.words(), remedy=remedy, advice=advice)


def verdict_on_explosion(
    rule: ExplosionRule, parts: JudgeParts, record: StepRecord, info: RunInfo, controls: Controls
) -> Verdict:
    """The loss shows an explosion by ``rule``."""
    explosions, changes = parts.explosions, parts.changes
    if rule == "jump":
        since = explosions.unhealed_since
        is_tried = since is None or since >= changes.changed_at
    else:
        is_tried = changes.are_tried(record.step)
    explosion = Explosion(
        calm_norm=explosions.calm_norm,
        exploded_norm=explosions.exploded_norm,
        # A loop that is not ours does not say how many samples it takes.
        num_samples=0 if info.baseline is None else record.num_samples // record.num_microbatches,
        is_lost=rule != "jump",
        is_tried=is_tried,
    )
    remedy, advice = against_explosion(controls, explosion)
    return _verdict("exploding", rule, _explosion_in_words(rule, parts), remedy=remedy, advice=advice)


def verdict_on_finding(finding: Finding, info: RunInfo, controls: Controls) -> Verdict:
    """The run has stalled, or its units are dead, and the gradients say why."""
    remedy, advice = against(finding, info, controls)
    return _verdict(
        finding.kind, finding.rule, finding.evidence, layers=finding.layers, remedy=remedy, advice=advice
    )


def _explosion_in_words(rule: ExplosionRule, parts: JudgeParts) -> str:
    match rule:
        case "jump":
            return parts.explosions.evidence
        case "lost":
            stands = parts.recovery.words(parts.losses)
            return f"{parts.explosions.evidence}; it never recovered: the loss {stands}"
        case "wreck":
            return parts.baseline.peak_in_words()
        case "grown":
            return parts.growth.words()
        case "above":
            return parts.baseline.words()


def _verdict(kind: VerdictKind, rule: str, evidence: str, **more: Any) -> Verdict:
    return Verdict(kind, evidence, rule=rule, confidence=CONFIDENCE.get(rule), **more)
