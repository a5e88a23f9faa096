"""What to make of the gradients: healthy, vanishing, exploding, dead, or not even finite.

Every verdict rests on numbers and says which. The rules compare a run with its own past, for
absolute thresholds mislead: a default LSTM starts with a gradient that has all but vanished
through time, and learns. How often they are right is measured: `vgrad.lab.accuracy`.

A verdict stops nothing. A run without a screen has nobody to answer a pause, so a run that is
lost trains on, and says so, until somebody acts.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vgrad.controls.controls import Controls
from vgrad.diagnose.baseline import BaselineWatch
from vgrad.diagnose.confidence import CONFIDENCE
from vgrad.diagnose.explosions import WINDOW, ExplosionWatch
from vgrad.diagnose.remedies import against, against_explosion, against_non_finite, still_due
from vgrad.diagnose.rules import FINDING_RULES, RATIO_VANISHING, Symptoms, find, find_underflow, tags
from vgrad.events.records import LayerStats, RunInfo, StepRecord, TimeStats, Verdict, VerdictKind
from vgrad.methods.precision import Float16

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STALL_STEPS = 200  # no progress in this many steps is a stall
_WARM_UP = 20  # steps before anything but exploding and non-finite is said
_EVERY = 40  # steps between two looks at vanishing and health: they take their time, and looking costs some
_MOST_SKIPPED = 20  # steps dropped in a row, after which skipping has become the whole of training

_LEAST_PROGRESS = 0.01
_HELD_BACK = 0.01  # of a step
_LEARNT_AGAIN = 0.1  # of the loss at which a run was lost

_STARTING = Verdict("starting", f"the first verdict comes after {_WARM_UP} steps")


class Judge:
    """Follows a run and says when the verdict changes.

    Weights that are drawn anew want a judge of their own: what was true of the old ones is not of these.

    Args:
        info: The run, for its layers' names and sizes, and for what of it can be changed.

    Attributes:
        verdict: The newest verdict, its evidence as of the last look.
    """

    def __init__(self, info: RunInfo) -> None:
        self._info = info
        self._roots = np.sqrt(np.array(info.layer_sizes, dtype=np.float64)[[0, -1]])
        self.verdict = _STARTING
        self._explosions = ExplosionWatch()
        self._against_baseline = BaselineWatch(self._info.baseline)
        self._losses: deque[float] = deque(maxlen=STALL_STEPS)
        self._ends: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._loss_first = math.nan
        self._loss_early = math.nan  # once the first, steepest steps are over
        self._loss_now = math.nan  # over the last half of a stall's steps, as of the last look
        self._num_seen = 0
        self._num_skipped = 0  # in a row
        self._is_still = False  # whether the loss has stood still, as of the last look
        self._num_stalled = 0  # looks in a row
        self._is_stalled = False  # and is not far below where the first steps left it
        self._was_stalled = False  # when the last explosion began: then that is not why it does not learn
        self._loss_lost = math.nan  # where the run stood when it was first called lost
        self._ratio_first = math.nan
        self._ratio_early = math.nan
        self._controls: Controls | None = None
        self._changed_at = 0  # step from which on the controls are what they are

    def observe(
        self,
        record: StepRecord,
        stats: LayerStats | None,
        controls: Controls,
        time: TimeStats | None = None,
    ) -> Verdict | None:
        """Take one step into account.

        Args:
            record: The step; feed every one, in order.
            stats: The newest statistics of the layers, or None while there are none.
            controls: The controls that the step was made with.
            time: The newest gradient through time, or None where there is none.

        Returns:
            The new verdict if it is of another kind, else None.
        """
        verdict = self._judge(record, stats, controls, time)
        if verdict is None:
            return None
        is_news = verdict.kind != self.verdict.kind
        self.verdict = verdict
        return verdict if is_news else None

    def _judge(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Verdict | None:
        """The verdict after this step, or None where there is no new one."""
        self._look_at_controls(record.step, controls)
        if self.verdict.kind == "non-finite":
            return self._with_newest_remedy(controls)  # latched: what has become NaN does not heal by itself
        if not (math.isfinite(record.loss) and math.isfinite(record.grad_norm)):
            self._num_skipped += 1
            is_dropped = record.skipped and self._num_skipped < _MOST_SKIPPED  # and has done no harm
            return None if is_dropped else self._non_finite(record, controls)
        self._num_skipped = 0
        if not self._num_seen:
            self._loss_first = record.loss
        self._num_seen += 1
        self._losses.append(record.loss)
        self._ends.append((float(record.grad_norms[0]), float(record.grad_norms[-1])))
        if self._num_seen == 1:
            self._ratio_first = self._ratio()
        clipped = controls.clip is not None
        was_whole = self._explosions.unhealed_since is None
        is_exploding = self._explosions.observe(record.step, record.loss, record.grad_norm, clipped=clipped)
        self._against_baseline.observe(record.step, record.loss)
        if is_exploding and was_whole:
            self._was_stalled = self._is_stalled
        is_look = self._num_seen == _WARM_UP or record.step % _EVERY == 0
        if is_look:
            self._look_at_losses()
        is_lost = self._is_lost(record.step)
        if is_exploding or is_lost:
            return self._exploding(record.step, controls, is_lost=is_lost)
        if self._against_baseline.is_wreck(record.step):
            return self._wreck(record.step, controls)
        if not is_look or self._num_seen < _WARM_UP:
            return None
        symptoms = self._symptoms(record, stats, controls, time)
        return self._stalled(symptoms, controls) or self._healthy(symptoms)

    def _non_finite(self, record: StepRecord, controls: Controls) -> Verdict:
        bad = np.flatnonzero(~np.isfinite(record.grad_norms))
        parts = []
        if not math.isfinite(record.loss):
            parts.append(f"the loss is {record.loss}")
        if bad.size:
            parts.append(f"the gradient of {bad.size} of {len(self._info.layers)} layers is not finite")
        elif not math.isfinite(record.grad_norm):
            parts.append(f"the gradient norm is {record.grad_norm}")
        remedy, advice = against_non_finite(controls, self._explosions.calm_norm)
        return _verdict(
            "non-finite",
            "non-finite",
            f"at step {record.step:,} " + " and ".join(parts),
            layers=tuple(bad.tolist()),
            remedy=remedy,
            advice=advice,
        )

    def _with_newest_remedy(self, controls: Controls) -> Verdict | None:
        """The latched verdict once a part of its remedy has been taken."""
        remedy = still_due(self.verdict.remedy, controls)
        return None if remedy == self.verdict.remedy else replace(self.verdict, remedy=remedy)

    def _is_lost(self, step: int) -> bool:
        """Whether an explosion left the run where it learns no more.

        A run that exploded in its first steps and stands well below its first loss may have learnt, or
        have come back to an answer that ignores the inputs. The first layer tells: a saturated wreck's
        gets next to nothing.

        Once said it holds until the loss is a tenth lower: noise alone makes such a run seem to stall
        and to learn by turns. The default recipe's wrecks move by less in 300 steps.
        """
        if self._against_baseline.has_learnt:
            self._loss_lost = math.nan
            return False
        since, is_wreck = self._explosions.unhealed_since, self._is_stalled
        if since is None:
            since = self._explosions.thrown_off_since
            is_wreck = since is not None and self._is_still and self._is_starved()
        if since is None or self._was_stalled:
            self._loss_lost = math.nan
        elif is_wreck and step - since >= STALL_STEPS and math.isnan(self._loss_lost):
            self._loss_lost = self._loss_now
        elif self._loss_lost - self._loss_now > _LEARNT_AGAIN * abs(self._loss_lost):
            self._loss_lost = math.nan
        return not math.isnan(self._loss_lost)

    def _look_at_controls(self, step: int, controls: Controls) -> None:
        if controls is self._controls:
            return  # at most steps
        if self._controls is not None and replace(self._controls, paused=controls.paused) != controls:
            self._changed_at = step
        self._controls = controls

    def _exploding(self, step: int, controls: Controls, *, is_lost: bool) -> Verdict:
        evidence = self._explosions.evidence
        if is_lost:
            evidence += f"; it never recovered: the loss {self._has_stood_still()}"
            return self._blown_up("lost", evidence, controls, is_lost=True, is_tried=self._is_tried(step))
        since = self._explosions.unhealed_since
        is_tried = since is None or since >= self._changed_at
        return self._blown_up("jump", evidence, controls, is_lost=False, is_tried=is_tried)

    def _wreck(self, step: int, controls: Controls) -> Verdict:
        evidence = self._against_baseline.peak_in_words()
        return self._blown_up("wreck", evidence, controls, is_lost=True, is_tried=self._is_tried(step))

    def _is_tried(self, step: int) -> bool:
        """Whether the controls have been as they are for as long as it takes to see what they do."""
        return not self._changed_at or step - self._changed_at >= STALL_STEPS

    def _blown_up(
        self, rule: str, evidence: str, controls: Controls, *, is_lost: bool, is_tried: bool
    ) -> Verdict:
        calm_norm = self._explosions.calm_norm
        remedy, advice = against_explosion(controls, calm_norm, is_lost=is_lost, is_tried=is_tried)
        return _verdict("exploding", rule, evidence, remedy=remedy, advice=advice)

    def _is_starved(self) -> bool:
        return not self._ratio() >= RATIO_VANISHING  # NaN: neither end gets anything

    def _has_stood_still(self) -> str:
        if self._is_still:
            return f"stands at {self._loss_now:.3g} and has not moved in {STALL_STEPS} steps"
        return f"came to rest at {self._loss_lost:.3g} and is at {self._loss_now:.3g}"

    def _stalled(self, symptoms: Symptoms, controls: Controls) -> Verdict | None:
        """What the gradients say of a run that does not learn.

        Never said of what an explosion threw off: its small gradients are the wreck's, not the cause.
        """
        is_thrown_off = self._explosions.unhealed_since is not None and not self._was_stalled
        if is_thrown_off:
            return None
        if self._is_stalled:
            finding = find(symptoms)
        elif self._num_seen >= STALL_STEPS and self._against_baseline.has_learnt_nothing:
            finding = find_underflow(symptoms)
        else:
            return None
        if finding is None:
            # Until it learns again: a measurement at a threshold must not flicker.
            is_found = self._is_stalled and self.verdict.rule in FINDING_RULES
            return self.verdict if is_found else None
        remedy, advice = against(finding, self._info, controls)
        return _verdict(
            finding.kind, finding.rule, finding.evidence, layers=finding.layers, remedy=remedy, advice=advice
        )

    def _look_at_losses(self) -> None:
        if math.isnan(self._ratio_early):
            self._ratio_early = self._ratio()
        if math.isnan(self._loss_early) and self._num_seen > _WARM_UP:
            losses = list(self._losses)
            # The first steps are steep: they find the mean answer. But not so if they explode.
            self._loss_early = min(losses[0], float(np.median(losses[_WARM_UP:])))
        self._is_still = self._stands_still()
        self._is_stalled = self._is_still and self._loss_now > 0.5 * self._loss_early
        self._num_stalled = self._num_stalled + 1 if self._is_stalled else 0

    def _stands_still(self) -> bool:
        if len(self._losses) < STALL_STEPS:
            return False
        halves = np.array(self._losses).reshape(2, -1)
        before, after = float(halves[0].mean()), float(halves[1].mean())
        # Small batches make losses noisy: a difference of less than 3 standard errors is no progress.
        noise = 3.0 * math.sqrt(float(halves.var(axis=1).sum()) / halves.shape[1])
        progress = max(_LEAST_PROGRESS * abs(before), noise)
        self._loss_now = after
        return before - after < progress

    def _symptoms(
        self, record: StepRecord, stats: LayerStats | None, controls: Controls, time: TimeStats | None
    ) -> Symptoms:
        unknown = np.full(len(self._info.layers), np.nan)
        is_half = isinstance(controls.precision, Float16)
        return Symptoms(
            names=self._info.layers,
            norms=record.grad_norms.astype(np.float64),
            ratio=self._ratio(),
            ratio_first=self._ratio_first,
            ratio_early=self._ratio_early,
            updates=unknown if stats is None else self._natural_updates(record, stats, controls),
            zero_shares=unknown if stats is None else stats.zero_share.astype(np.float64),
            underflow_shares=stats.underflow_share.astype(np.float64)
            if stats is not None and is_half
            else np.zeros_like(unknown),
            time_slope=math.nan if time is None else time.slope,
            time_ratio=math.nan if time is None else time.ratio,
            loss=self._against_baseline.loss,
            baseline=self._info.baseline,
            learnt=self._learnt_since(self._loss_early),
            learnt_in_all=self._learnt_since(self._loss_first),
            is_held_back=controls.freeze is not None or _throttle(record, controls) < _HELD_BACK,
            stalled_for=STALL_STEPS + _EVERY * (self._num_stalled - 1) if self._num_stalled else 0,
            stall=f"the loss has not moved in {STALL_STEPS} steps"
            if self._is_stalled
            else self._against_baseline.words(),
        )

    def _learnt_since(self, loss: float) -> float:
        return (loss - self._loss_now) / max(abs(loss), 1e-30)

    def _healthy(self, symptoms: Symptoms) -> Verdict:
        evidence = f"‖g‖ {self._explosions.calm_norm:.2g}, first to last layer {symptoms.ratio:.2g}"
        if np.isfinite(symptoms.updates).any():
            evidence += f", weights move by {float(np.nanmedian(symptoms.updates)):.0e} a step"
        if self._is_stalled:
            evidence += f"; {symptoms.stall}, and the gradients do not say why"
        rule = "stalled" if self._is_stalled else "learning"
        found = tags(symptoms)
        if self._explosions.has_spiked:
            found += ("spike",)
        return _verdict("healthy", rule, evidence, tags=found)

    def _ratio(self) -> float:
        """Median ratio of the root-mean-square gradients of the first and the last layer."""
        ends = np.array(self._ends, dtype=np.float64) / self._roots
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.median(ends[:, 0] / ends[:, 1]))

    def _natural_updates(self, record: StepRecord, stats: LayerStats, controls: Controls) -> Floats:
        """Update ratios as they would be without clipping and scaling, NaN where not measured.

        Small steps that somebody asked for are no sign of a vanishing gradient; nor is a frozen layer.
        """
        updates: Floats = stats.update_ratio.astype(np.float64) / max(_throttle(record, controls), 1e-30)
        if controls.freeze is not None:
            updates[list(controls.freeze.matching(self._info.layers))] = np.nan
        return updates


def _throttle(record: StepRecord, controls: Controls) -> float:
    """What clipping and scaling leave of a step, 1 for all of it."""
    left = controls.lr_scale
    if record.applied_norm < record.grad_norm:
        left *= record.applied_norm / record.grad_norm
    return left


def _verdict(kind: VerdictKind, rule: str, evidence: str, **more: Any) -> Verdict:
    return Verdict(kind, evidence, rule=rule, confidence=CONFIDENCE.get(rule), **more)
