"""What to make of the gradients: healthy, vanishing, exploding, dead, or not even finite.

Every verdict rests on numbers and says which. The rules compare a run with its own past, for absolute
thresholds mislead. How often they are right is measured: `vgrad.lab.accuracy`.

A verdict stops nothing: a run that is lost trains on, and says so, until somebody acts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from vgrad.controls.controls import Controls
from vgrad.diagnose.baseline import BaselineWatch
from vgrad.diagnose.confidence import CONFIDENCE
from vgrad.diagnose.control_changes import ControlChanges
from vgrad.diagnose.explosions import ExplosionWatch
from vgrad.diagnose.gradient_ends import GradientEnds
from vgrad.diagnose.gradient_sums import GradientSums
from vgrad.diagnose.growth import Growth
from vgrad.diagnose.held_finding import HeldFinding
from vgrad.diagnose.layer_activity import LayerActivity
from vgrad.diagnose.losses import LOOK_EVERY, STALL_STEPS, STANDS_STILL, WARM_UP, LossTrend
from vgrad.diagnose.non_finite_origin import non_finite_in_words
from vgrad.diagnose.norm_watch import NormWatch
from vgrad.diagnose.nothing_found import nothing_found
from vgrad.diagnose.overfitting import Overfitting
from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.rates import Rates
from vgrad.diagnose.recovery import Recovery
from vgrad.diagnose.remedies import Explosion, against, against_explosion, against_non_finite, still_due
from vgrad.diagnose.rules import Finding, find, find_dead, find_underflow
from vgrad.diagnose.skipped_steps import SkippedSteps
from vgrad.diagnose.step_reach import StepReach
from vgrad.diagnose.symptoms import Symptoms, comparable_updates, is_held_back, natural_updates, reach
from vgrad.events.layer_stats import LayerStats
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict, VerdictKind
from vgrad.methods.precision import Float16

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
        self._losses = LossTrend()
        self._activity = LayerActivity(len(info.layers))
        self._ends = GradientEnds(info.layer_sizes)
        self._rates = Rates()
        self._sums = GradientSums()
        self._baseline = math.nan if info.baseline is None else info.baseline  # no rule fires on NaN
        self._explosions = ExplosionWatch(is_loss_known=info.baseline is not None)
        self._reach = StepReach(info.layer_sizes)
        self._norms = NormWatch()
        self._growth = Growth()
        self._recovery = Recovery()
        self._against_baseline = BaselineWatch(self._baseline)
        self._overfitting = Overfitting(self._baseline)
        self._skipped_steps = SkippedSteps()
        self._changes = ControlChanges()
        self._held = HeldFinding()
        self._uniform_loss = math.nan  # of this step
        self._stats: LayerStats | None = None
        self._update = math.nan  # the largest of these statistics

    @property
    def _parts(self) -> Mapping[str, JudgePart]:
        return {
            "losses": self._losses,
            "activity": self._activity,
            "ends": self._ends,
            "rates": self._rates,
            "sums": self._sums,
            "explosions": self._explosions,
            "reach": self._reach,
            "norms": self._norms,
            "growth": self._growth,
            "recovery": self._recovery,
            "baseline": self._against_baseline,
            "overfitting": self._overfitting,
            "skipped_steps": self._skipped_steps,
            "changes": self._changes,
            "held": self._held,
        }

    def capture(self) -> dict[str, Any]:
        """All that the judge remembers: the verdict, and the state of each part as plain data.

        Beside numbers, words and lists it holds the verdict and the controls, which are frozen values.
        """
        return {"verdict": self.verdict, **{name: part.capture() for name, part in self._parts.items()}}

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go on as if all that `capture` saw had been seen by this judge.

        Raises:
            ValueError: If it is the state of another kind of judge.
        """
        parts = self._parts
        if captured.keys() != {"verdict", *parts}:
            raise ValueError("not a state of a judge")
        for name, part in parts.items():
            part.restore_(captured[name])
        self.verdict = captured["verdict"]

    def observe(
        self,
        record: StepRecord,
        stats: LayerStats | None,
        controls: Controls,
        time: TimeStats | None = None,
        uniform_loss: float = math.nan,
    ) -> Verdict | None:
        """Take one step into account.

        Args:
            record: The step; feed every one, in order.
            stats: The newest statistics of the layers, or None while there are none.
            controls: The controls that the step was made with.
            time: The newest gradient through time, or None where there is none.
            uniform_loss: What a uniform guess costs, where the loss function shows it; NaN: not known.

        Returns:
            The new verdict if it is of another kind, else None.
        """
        self._uniform_loss = uniform_loss
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
        self._overfitting.validated(step, loss)

    def _judge(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Verdict | None:
        """The verdict after this step, or None where there is no new one."""
        self._changes.observe(record.step, controls)
        forward_origin = self.forward_origins.pop(record.step, "")
        if self.verdict.kind == "non-finite":
            return self._with_newest_remedy(controls)  # latched: what has become NaN does not heal by itself
        loss = record.loss
        if not (math.isfinite(record.grad_norm) and (loss is None or math.isfinite(loss))):
            is_harmless = self._skipped_steps.is_harmless(skipped=record.skipped)
            return None if is_harmless else self._non_finite(record, controls, forward_origin)
        self._skipped_steps.done()
        self._rates.observe(record.largest_lr / controls.lr_scale)
        self._activity.observe(record.grad_norms)
        self._ends.observe(record.grad_norms, self._activity)
        if loss is None:
            return self._without_loss(record, stats, controls, time)
        return self._with_loss(record, loss, stats, controls, time)

    def _without_loss(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Verdict | None:
        """The verdict where the loss is not known: what the gradients alone can say."""
        was_exploding = self.verdict.kind == "exploding"
        is_exploding = self._norms.observe(record.step, record.norm_left_by_loop, self._largest_update(stats))
        if is_exploding:
            explosion = Explosion(
                self._norms.calm_norm, self._norms.peak, 0, False, self._changes.are_tried(record.step)
            )
            remedy, advice = against_explosion(controls, explosion)
            return _verdict("exploding", "norm", self._norms.words(), remedy=remedy, advice=advice)
        if record.step % LOOK_EVERY and not was_exploding:
            return None
        self._ends.look(is_stalled=False)
        symptoms = self._symptoms(record, stats, controls, time)
        finding = find_dead(symptoms)
        return self._nothing_found(symptoms) if finding is None else self._found(finding, controls)

    def _with_loss(
        self,
        record: StepRecord,
        loss: float,
        stats: LayerStats | None,
        controls: Controls,
        time: TimeStats | None,
    ) -> Verdict | None:
        """The verdict after a step whose loss is known and finite."""
        self._losses.observe(loss)
        self._overfitting.observe(loss)
        self._sums.observe(loss, record.grad_norm)
        calm = self._explosions.calm_loss
        self._reach.observe(loss, record.grad_norm, record.applied_norm, record.largest_lr, calm)
        was_whole, was_exploding = self._explosions.unhealed_since is None, self._explosions.is_exploding
        is_exploding = self._explosions.observe(
            record.step,
            loss,
            record.norm_left_by_loop,
            clipped=controls.clip is not None,
            update=self._largest_update(stats),
            reach=self._reach,
        )
        self._against_baseline.observe(record.step, loss, self._uniform_loss)
        self._growth.observe(record.step, loss, record.grad_norm)
        if is_exploding and was_whole:
            self._recovery.began(self._explosions, self._losses, self._ends)
        has_ended = was_exploding and not is_exploding  # which is to be said at once
        is_look = self._losses.num_seen == WARM_UP or record.step % LOOK_EVERY == 0 or has_ended
        if is_look:
            self._losses.look()
            self._ends.look(is_stalled=self._losses.is_stalled)
            self._sums.look()
        if self._sums.are_found:
            return self._never_zeroed() if is_look else None
        is_lost = self._recovery.is_lost(
            record.step,
            self._explosions,
            self._losses,
            self._ends,
            has_learnt=self._against_baseline.has_learnt,
        )
        # A stack whose gradient had vanished at the first step stalls for that, not for its jolts.
        is_vanished = self._recovery.had_vanished and self._losses.is_stalled and self._info.baseline is None
        if (is_exploding or is_lost) and not is_vanished:
            return self._exploding(record, controls, is_lost=is_lost)
        if (worthless := self._worthless()) is not None:
            return self._blown_up(*worthless, record, controls)
        if not is_look or self._losses.num_seen < WARM_UP:
            return None
        symptoms = self._symptoms(record, stats, controls, time)
        return self._stalled(record.step, symptoms, controls) or self._nothing_found(symptoms)

    def _non_finite(self, record: StepRecord, controls: Controls, forward_origin: str) -> Verdict:
        bad = np.flatnonzero(~np.isfinite(record.grad_norms))
        explosions = self._explosions
        remedy, advice = against_non_finite(controls, explosions.calm_norm, explosions.recent_norm)
        return _verdict(
            "non-finite",
            "non-finite",
            non_finite_in_words(record, self._info.layers, forward_origin),
            layers=tuple(bad.tolist()),
            remedy=remedy,
            advice=advice,
        )

    def _never_zeroed(self) -> Verdict:
        advice = (
            "call optimizer.zero_grad() before each backward pass; nothing that can be set here replaces it"
        )
        return _verdict("exploding", "sums", self._sums.words(), advice=advice, tags=("never-zeroed",))

    def _with_newest_remedy(self, controls: Controls) -> Verdict | None:
        """The latched verdict once a part of its remedy has been taken."""
        remedy = still_due(self.verdict.remedy, controls)
        return None if remedy == self.verdict.remedy else replace(self.verdict, remedy=remedy)

    def _exploding(self, record: StepRecord, controls: Controls, *, is_lost: bool) -> Verdict:
        evidence = self._explosions.evidence
        if is_lost:
            evidence += f"; it never recovered: the loss {self._recovery.words(self._losses)}"
            return self._blown_up("lost", evidence, record, controls)
        since = self._explosions.unhealed_since
        is_tried = since is None or since >= self._changes.changed_at
        return self._blown_up("jump", evidence, record, controls, is_tried=is_tried)

    def _worthless(self) -> tuple[Literal["wreck", "grown", "above"], str] | None:
        """The rule and the numbers where no single step stands out, and the loss shows an explosion."""
        if self._against_baseline.is_wreck:
            return "wreck", self._against_baseline.peak_in_words()
        if self._growth.is_found and self._reach.is_first_a_level:
            return "grown", self._growth.words()
        return ("above", self._against_baseline.words()) if self._against_baseline.is_far_above else None

    def _blown_up(
        self,
        rule: Literal["jump", "lost", "wreck", "grown", "above"],
        evidence: str,
        record: StepRecord,
        controls: Controls,
        *,
        is_tried: bool | None = None,
    ) -> Verdict:
        explosion = Explosion(
            calm_norm=self._explosions.calm_norm,
            exploded_norm=self._explosions.exploded_norm,
            # A loop that is not ours does not say how many samples it takes.
            num_samples=0 if self._info.baseline is None else record.num_samples // record.num_microbatches,
            is_lost=rule != "jump",
            is_tried=self._changes.are_tried(record.step) if is_tried is None else is_tried,
        )
        remedy, advice = against_explosion(controls, explosion)
        return _verdict("exploding", rule, evidence, remedy=remedy, advice=advice)

    def _stalled(self, step: int, symptoms: Symptoms, controls: Controls) -> Verdict | None:
        """What the gradients say of a run that does not learn.

        Never said of what an explosion threw off: its small gradients are the wreck's, not the cause.
        """
        recovery = self._recovery
        is_older = recovery.was_stalled or (recovery.had_vanished and self._info.baseline is None)
        is_thrown_off = self._explosions.unhealed_since is not None and not is_older
        if is_thrown_off:
            return None
        if self._losses.is_stalled:
            finding = find(symptoms)
        elif self._losses.num_seen >= STALL_STEPS and self._against_baseline.has_learnt_nothing:
            finding = find_underflow(symptoms)
        else:
            finding = None
        if self._held.keeps(
            self.verdict, finding, self._losses, step=step, changed_at=self._changes.changed_at
        ):
            return self.verdict
        return None if finding is None else self._found(finding, controls)

    def _found(self, finding: Finding, controls: Controls) -> Verdict:
        remedy, advice = against(finding, self._info, controls)
        return _verdict(
            finding.kind, finding.rule, finding.evidence, layers=finding.layers, remedy=remedy, advice=advice
        )

    def _symptoms(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Symptoms:
        unknown = np.full(len(self._info.layers), np.nan)
        is_half = isinstance(controls.precision, Float16)
        return Symptoms(
            names=self._info.layers,
            norms=record.grad_norms.astype(np.float64),
            silent=self._activity.silent,
            ever=self._activity.ever,
            has_faded=self._activity.has_faded,
            first=self._ends.first,
            last=self._ends.last,
            ratio=self._ends.ratio(),
            ratio_first=self._ends.ratio_first,
            ratio_early=self._ends.ratio_early,
            ratio_stalled=self._ends.ratio_stalled,
            updates=unknown if stats is None else natural_updates(record, stats, controls, self._info),
            has_thrown=self._explosions.has_thrown,
            zero_shares=unknown if stats is None else stats.zero_share.astype(np.float64),
            underflow_shares=stats.underflow_share.astype(np.float64)
            if stats is not None and is_half
            else np.zeros_like(unknown),
            time_slope=math.nan if time is None else time.slope,
            time_ratio=math.nan if time is None else time.ratio,
            loss=self._against_baseline.loss,
            lower_loss=self._losses.lower_half,
            baseline=self._baseline,
            uniform=self._against_baseline.uniform,
            learnt=self._losses.learnt_since(self._losses.early),
            learnt_in_all=self._losses.learnt_since(self._losses.first),
            progress=self._losses.progress,
            reach=reach(stats, self._losses, self._explosions.mean_norm),
            is_held_back=is_held_back(record, controls) or self._rates.is_held_back,
            stalled_for=self._losses.stalled_for,
            stall=f"the loss {STANDS_STILL}" if self._losses.is_stalled else self._against_baseline.words(),
        )

    def _nothing_found(self, symptoms: Symptoms) -> Verdict:
        return nothing_found(
            symptoms, self._losses, self._activity, self._rates, self._overfitting, self._explosions
        )

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


def _verdict(kind: VerdictKind, rule: str, evidence: str, **more: Any) -> Verdict:
    return Verdict(kind, evidence, rule=rule, confidence=CONFIDENCE.get(rule), **more)
