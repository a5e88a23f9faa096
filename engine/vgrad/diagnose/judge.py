"""Follows a run step by step: healthy, vanishing, exploding, dead, or not even finite.

Every verdict rests on numbers and says which. The rules compare a run with its own past, for absolute
thresholds mislead. How often they are right is measured: `vgrad.lab.accuracy`.

A verdict stops nothing: a run that is lost trains on, and says so, until somebody acts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vgrad.controls.controls import Controls
from vgrad.diagnose.gathering import comparable_updates, gather_symptoms
from vgrad.diagnose.losses import LOOK_EVERY, STALL_STEPS, WARM_UP
from vgrad.diagnose.nothing_found import nothing_found
from vgrad.diagnose.parts import JudgeParts
from vgrad.diagnose.remedies import still_due
from vgrad.diagnose.rules import OVER_TIME, find, find_dead, find_underflow
from vgrad.diagnose.symptoms import Symptoms
from vgrad.diagnose.verdicts import (
    ExplosionRule,
    verdict_on_explosion,
    verdict_on_finding,
    verdict_on_non_finite,
    verdict_on_norms,
    verdict_on_sums,
)
from vgrad.events.guesses import UNKNOWN, Guesses
from vgrad.events.layer_stats import LayerStats
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict

_STARTING = Verdict("starting", f"the first verdict comes after {WARM_UP} steps")


class Judge:
    """Follows a run and says when the verdict changes.

    The parts remember, the rules decide, and the judge orders them. Re-initialised weights need another one.

    Args:
        info: The run, for its layers' names and sizes, and for what of it can be changed.

    Attributes:
        verdict: The newest verdict, its evidence as of the last look.
        forward_origins: By step number, for steps that are still to be observed: where a loss that is not
            finite began, in words.
    """

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self.verdict = _STARTING
        self.forward_origins: dict[int, str] = {}
        self._parts = JudgeParts(info)
        self._guesses = UNKNOWN  # of this step
        self._stats: LayerStats | None = None
        self._update = math.nan  # the largest of these statistics

    def capture(self) -> dict[str, Any]:
        """All that the judge remembers: the verdict, and the state of each part as plain data.

        Beside numbers, words and lists it holds the verdict and the controls, which are frozen values.
        """
        return {"verdict": self.verdict, **self._parts.capture()}

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go on as if all that `capture` saw had been seen by this judge.

        Raises:
            ValueError: If it is the state of another kind of judge.
        """
        if captured.keys() != {"verdict", *vars(self._parts)}:
            raise ValueError("not a state of a judge")
        self._parts.restore_({name: part for name, part in captured.items() if name != "verdict"})
        self.verdict = captured["verdict"]

    def observe(
        self,
        record: StepRecord,
        stats: LayerStats | None,
        controls: Controls,
        time: TimeStats | None = None,
        guesses: Guesses = UNKNOWN,
    ) -> Verdict | None:
        """Take one step into account.

        Args:
            record: The step; feed every one, in order.
            stats: The newest statistics of the layers, or None while there are none.
            controls: The controls that the step was made with.
            time: The newest gradient through time, or None where there is none.
            guesses: What constant predictions cost, as far as the loss function shows it.

        Returns:
            The new verdict if it is of another kind, else None.
        """
        self._guesses = guesses
        verdict = self._judge(record, stats, controls, time)
        if verdict is None:
            return None
        if self._info.baseline is None:
            verdict = replace(verdict, confidence=None)  # how often rules are right was not measured there
        is_news = verdict.kind != self.verdict.kind
        self.verdict = verdict
        return verdict if is_news else None

    def validated(self, step: int, loss: float) -> None:
        """Take the validation loss after ``step`` into account; the next look at the run speaks of it."""
        self._parts.overfitting.validated(step, loss)

    def _judge(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Verdict | None:
        """The verdict after this step, or None where there is no new one."""
        parts = self._parts
        parts.changes.observe(record.step, controls)
        forward_origin = self.forward_origins.pop(record.step, "")
        if self.verdict.kind == "non-finite":
            return self._with_newest_remedy(controls)  # latched: what has become NaN does not heal by itself
        loss = record.loss
        if not (math.isfinite(record.grad_norm) and (loss is None or math.isfinite(loss))):
            if parts.skipped_steps.is_harmless(skipped=record.skipped):
                return None
            return verdict_on_non_finite(record, parts, self._info, controls, forward_origin)
        parts.skipped_steps.done()
        parts.rates.observe(record.largest_lr / controls.lr_scale)
        parts.activity.observe(record.grad_norms)
        parts.ends.observe(record.grad_norms, parts.activity)
        if loss is None:
            return self._without_loss(record, stats, controls, time)
        return self._with_loss(record, loss, stats, controls, time)

    def _with_newest_remedy(self, controls: Controls) -> Verdict | None:
        """The latched verdict once a part of its remedy has been taken."""
        remedy = still_due(self.verdict.remedy, controls)
        return None if remedy == self.verdict.remedy else replace(self.verdict, remedy=remedy)

    def _without_loss(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Verdict | None:
        """The verdict where the loss is not known: what the gradients alone can say."""
        parts = self._parts
        if parts.norms.observe(record.step, record.norm_left_by_loop, self._largest_update(stats)):
            return verdict_on_norms(parts, record.step, controls)
        if record.step % LOOK_EVERY and self.verdict.kind != "exploding":
            return None
        parts.ends.look(is_stalled=False)
        symptoms = gather_symptoms(parts, self._info, record, stats, controls, time)
        finding = find_dead(symptoms)
        if finding is None:
            return nothing_found(symptoms, parts)
        return verdict_on_finding(finding, self._info, controls)

    def _with_loss(
        self,
        record: StepRecord,
        loss: float,
        stats: LayerStats | None,
        controls: Controls,
        time: TimeStats | None,
    ) -> Verdict | None:
        """The verdict after a step whose loss is known and finite."""
        parts, explosions = self._parts, self._parts.explosions
        parts.losses.observe(loss)
        parts.overfitting.observe(loss)
        parts.sums.observe(loss, record.grad_norm)
        parts.reach.observe(
            loss, record.grad_norm, record.applied_norm, record.largest_lr, explosions.calm_loss
        )
        was_whole, was_exploding = explosions.unhealed_since is None, explosions.is_exploding
        is_exploding = explosions.observe(
            record.step,
            loss,
            record.norm_left_by_loop,
            clipped=controls.clip is not None,
            update=self._largest_update(stats),
            reach=parts.reach,
            uniform=self._guesses.uniform,
        )
        parts.baseline.observe(record.step, loss, self._guesses.uniform)
        parts.beyond_constant.observe(self._guesses.over_constant)
        parts.growth.observe(record.step, loss, record.grad_norm)
        if is_exploding and was_whole:
            parts.recovery.began(explosions, parts.losses, parts.ends)
        has_ended = was_exploding and not is_exploding  # which is to be said at once
        is_look = parts.losses.num_seen == WARM_UP or record.step % LOOK_EVERY == 0 or has_ended
        if is_look:
            parts.losses.look()
            parts.ends.look(is_stalled=parts.losses.is_stalled)
            parts.sums.look()
        if parts.sums.are_found:
            return verdict_on_sums(parts.sums) if is_look else None
        if (rule := self._explosion_rule(record.step)) is not None:
            return verdict_on_explosion(rule, parts, record, self._info, controls)
        if not is_look or parts.losses.num_seen < WARM_UP:
            return None
        symptoms = gather_symptoms(parts, self._info, record, stats, controls, time)
        return self._stalled(record.step, symptoms, controls) or nothing_found(symptoms, parts)

    def _explosion_rule(self, step: int) -> ExplosionRule | None:
        """The rule by which the loss shows an explosion that the run is not back from."""
        parts = self._parts
        losses, recovery, baseline = parts.losses, parts.recovery, parts.baseline
        has_learnt = baseline.has_learnt or parts.beyond_constant.is_shown
        is_lost = recovery.is_lost(step, parts.explosions, losses, parts.ends, has_learnt=has_learnt)
        if is_lost or parts.explosions.is_exploding:
            # A stack whose gradient had vanished at the first step stalls for that, not for its jolts.
            is_vanished = recovery.had_vanished and losses.is_stalled and self._info.baseline is None
            if not is_vanished:
                return "lost" if is_lost else "jump"
        # From here on no single step stands out.
        if baseline.is_wreck:
            return "wreck"
        if parts.growth.is_found and parts.reach.is_first_a_level:
            return "grown"
        return "above" if baseline.is_far_above else None

    def _stalled(self, step: int, symptoms: Symptoms, controls: Controls) -> Verdict | None:
        """What the gradients say of a run that does not learn.

        Never said of what an explosion threw off: its small gradients are the wreck's, not the cause.
        """
        parts = self._parts
        recovery, losses = parts.recovery, parts.losses
        is_older = recovery.was_stalled or (recovery.had_vanished and self._info.baseline is None)
        if parts.explosions.unhealed_since is not None and not is_older:
            return None
        if losses.is_stalled:
            finding = find(symptoms)
        elif losses.num_seen >= STALL_STEPS and parts.baseline.has_learnt_nothing:
            finding = find_underflow(symptoms)
        else:
            finding = None
        held = self.verdict
        if parts.held.keeps(
            held,
            finding,
            losses,
            step=step,
            changed_at=parts.changes.changed_at,
            is_refuted=held.rule in OVER_TIME and symptoms.beats_constant,
        ):
            return held
        return None if finding is None else verdict_on_finding(finding, self._info, controls)

    def _largest_update(self, stats: LayerStats | None) -> float:
        """Largest share of its weights by which a layer was moved, as measured last; NaN: unknown."""
        if stats is None:
            return math.nan
        if stats is not self._stats:
            self._stats = stats
            updates = comparable_updates(stats, self._info.layer_sizes)
            known = updates[np.isfinite(updates)]
            self._update = float(known.max(initial=0.0)) if known.size else math.nan
        return self._update
