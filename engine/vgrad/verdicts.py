"""What to make of the gradients: healthy, vanishing, exploding, or not even finite.

Every verdict rests on numbers and says which. The rules compare a run with its own past, for
absolute thresholds mislead: a default LSTM starts with a gradient that has all but vanished
through time, and learns.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from vgrad.controls import Controls, SetClip
from vgrad.explosions import WINDOW, ExplosionWatch
from vgrad.records import LayerStats, RunInfo, StepRecord, Verdict
from vgrad.transforms.clip import ClipGradNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray

STALL_STEPS = 200  # no progress in this many steps is a stall
_WARM_UP = 20  # steps before anything but exploding and non-finite is said
_EVERY = 40  # steps between two looks at vanishing and health: they take their time, and looking costs some

_LEAST_PROGRESS = 0.01
_RATIO_VANISHING = 1e-2
_UPDATE_VANISHING = 5e-5
_MEDIAN_UPDATE_VANISHING = 1e-5

_REMEDY_NORMS = (1e-3, 1e6)

_STARTING = Verdict("starting", f"the first verdict comes after {_WARM_UP} steps")


class Judge:
    """Follows a run and says when the verdict changes.

    Args:
        info: The run, for its layers' names and sizes.

    Attributes:
        verdict: The newest verdict, its evidence as of the last look.
    """

    def __init__(self, info: RunInfo) -> None:
        self.verdict = _STARTING
        self._names = info.layers
        self._roots = np.sqrt(np.array(info.layer_sizes, dtype=np.float64)[[0, -1]])
        self._explosions = ExplosionWatch()
        self._losses: deque[float] = deque(maxlen=STALL_STEPS)
        self._ends: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._loss_first = math.nan
        self._is_stalled = False  # as of the last look

    def observe(self, record: StepRecord, stats: LayerStats | None, controls: Controls) -> Verdict | None:
        """Take one step into account.

        Args:
            record: The step; feed every one, in order.
            stats: The newest statistics of the layers, or None while there are none.
            controls: The controls that the step was made with.

        Returns:
            The new verdict if it is of another kind, else None.
        """
        verdict = self._judge(record, stats, controls)
        if verdict is None:
            return None
        is_news = verdict.kind != self.verdict.kind
        self.verdict = verdict
        return verdict if is_news else None

    def _judge(self, record: StepRecord, stats: LayerStats | None, controls: Controls) -> Verdict | None:
        """The verdict after this step, or None where there is no new one."""
        if self.verdict.kind == "non-finite":
            return None  # latched: what has become NaN does not heal by itself
        if not (math.isfinite(record.loss) and math.isfinite(record.grad_norm)):
            return self._non_finite(record)
        if not self._losses:
            self._loss_first = record.loss
        self._losses.append(record.loss)
        self._ends.append((float(record.grad_norms[0]), float(record.grad_norms[-1])))
        clipped = controls.clip is not None
        is_exploding = self._explosions.observe(record.step, record.loss, record.grad_norm, clipped=clipped)
        is_look = record.step == _WARM_UP or record.step % _EVERY == 0
        if is_look:
            self._is_stalled = self._has_stalled()
        is_lost = self._is_lost(record.step)
        if is_exploding or is_lost:
            return self._exploding(controls, is_lost=is_lost)
        if not is_look:
            return None
        updates = _natural_updates(record, stats, controls)
        return self._vanishing(updates) or self._healthy(updates)

    def _non_finite(self, record: StepRecord) -> Verdict:
        bad = np.flatnonzero(~np.isfinite(record.grad_norms))
        parts = []
        if not math.isfinite(record.loss):
            parts.append(f"the loss is {record.loss}")
        if bad.size:
            parts.append(f"the gradient of {bad.size} of {len(self._names)} layers is not finite")
        elif not math.isfinite(record.grad_norm):
            parts.append(f"the gradient norm is {record.grad_norm}")
        return Verdict(
            "non-finite",
            f"at step {record.step:,} " + " and ".join(parts),
            layers=tuple(bad.tolist()),
            advice="the weights are lost: start again with clipping on or a lower learning rate",
        )

    def _is_lost(self, step: int) -> bool:
        """Whether an explosion left the run where it learns no more."""
        since = self._explosions.unhealed_since
        return self._is_stalled and since is not None and step - since >= STALL_STEPS

    def _exploding(self, controls: Controls, *, is_lost: bool) -> Verdict:
        evidence, remedy = self._explosions.evidence, None
        advice = "it explodes though it is clipped: lower the threshold or the learning rate"
        if not isinstance(controls.clip, ClipGradNorm):
            smallest, largest = _REMEDY_NORMS
            limit = min(max(self._explosions.calm_norm, smallest), largest)
            remedy = SetClip(ClipGradNorm(float(f"{limit:.0e}")))
            advice = "clip by norm; weights that are already far off may not come back"
        if is_lost:
            evidence += f"; it never recovered: the loss has not moved in {STALL_STEPS} steps"
            advice = "start again with clipping on from the first step, or with a lower learning rate"
        return Verdict("exploding", evidence, remedy=remedy, advice=advice)

    def _vanishing(self, updates: NDArray[np.float64]) -> Verdict | None:
        """Stalled, and what the first layers get, or most layers do, is next to nothing.

        Never said of what an explosion threw off: its small gradients are the wreck's, not the cause.
        """
        is_thrown_off = self._explosions.unhealed_since is not None
        if not self._is_stalled or is_thrown_off or not np.isfinite(updates).any():
            return None
        first, median, ratio = float(updates[0]), float(np.nanmedian(updates)), self._ratio()
        stall = f"the loss has not moved in {STALL_STEPS} steps"
        if ratio < _RATIO_VANISHING and first < _UPDATE_VANISHING:
            evidence = (
                f"{self._names[0]} gets {ratio:.0e} of the gradient of {self._names[-1]} and moves by"
                f" {first:.0e} of its weights a step; {stall}"
            )
        elif median < _MEDIAN_UPDATE_VANISHING:
            evidence = f"half of the layers move by less than {median:.0e} of their weights a step; {stall}"
        elif self.verdict.kind == "vanishing":
            return self.verdict  # until it learns again: a measurement at the threshold must not flicker
        else:
            return None
        return Verdict(
            "vanishing",
            evidence,
            layers=(0,),
            advice="clipping, accumulation and the learning rate do not cure this:"
            " another activation, skip connections or another initialisation do",
        )

    def _has_stalled(self) -> bool:
        if len(self._losses) < STALL_STEPS:
            return False
        halves = np.array(self._losses).reshape(2, -1)
        before, after = float(halves[0].mean()), float(halves[1].mean())
        # Small batches make losses noisy: a difference of less than 3 standard errors is no progress.
        noise = 3.0 * math.sqrt(float(halves.var(axis=1).sum()) / halves.shape[1])
        progress = max(_LEAST_PROGRESS * abs(before), noise)
        return before - after < progress and after > 0.5 * self._loss_first

    def _healthy(self, updates: NDArray[np.float64]) -> Verdict:
        evidence = f"‖g‖ {self._explosions.calm_norm:.2g}, first to last layer {self._ratio():.2g}"
        if np.isfinite(updates).any():
            evidence += f", weights move by {float(np.nanmedian(updates)):.0e} a step"
        return Verdict("healthy", evidence)

    def _ratio(self) -> float:
        """Median ratio of the root-mean-square gradients of the first and the last layer."""
        ends = np.array(self._ends, dtype=np.float64) / self._roots
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.median(ends[:, 0] / ends[:, 1]))


def _natural_updates(record: StepRecord, stats: LayerStats | None, controls: Controls) -> NDArray[np.float64]:
    """Update ratios as they would be without clipping and scaling, NaN where not measured.

    Small steps that somebody asked for are no sign of a vanishing gradient.
    """
    if stats is None:
        return np.full(1, np.nan)
    throttle = controls.lr_scale
    if record.applied_norm < record.grad_norm:
        throttle *= record.applied_norm / record.grad_norm
    return stats.update_ratio.astype(np.float64) / max(throttle, 1e-30)
