"""Gathers the symptoms of one moment of a run, from all that was seen of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vgrad.diagnose.losses import STANDS_STILL
from vgrad.diagnose.symptoms import Symptoms
from vgrad.methods.precision import Float16

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.controls.controls import Controls
    from vgrad.diagnose.losses import LossTrend
    from vgrad.diagnose.parts import JudgeParts
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats

    Floats = NDArray[np.float64]

_HELD_BACK = 0.01  # of a step
_LEAST_SPREAD = 1e-4  # of the loss: batches that differ by less are one and the same


def gather_symptoms(
    parts: JudgeParts,
    info: RunInfo,
    record: StepRecord,
    stats: LayerStats | None,
    controls: Controls,
    time: TimeStats | None,
) -> Symptoms:
    """Gather the symptoms of a run after a step.

    Args:
        parts: What was seen of the run, that step included.
        info: The run.
        record: The step.
        stats: The newest statistics of the layers, or None while there are none.
        controls: The controls that the step was made with.
        time: The newest gradient through time, or None where there is none.
    """
    losses, activity, ends, baseline = parts.losses, parts.activity, parts.ends, parts.baseline
    unknown = np.full(len(info.layers), np.nan)
    is_half = isinstance(controls.precision, Float16)
    return Symptoms(
        names=info.layers,
        norms=record.grad_norms.astype(np.float64),
        silent=activity.silent,
        ever=activity.ever,
        has_faded=activity.has_faded,
        first=ends.first,
        last=ends.last,
        ratio=ends.ratio(),
        ratio_first=ends.ratio_first,
        ratio_early=ends.ratio_early,
        ratio_stalled=ends.ratio_stalled,
        updates=unknown if stats is None else _natural_updates(record, stats, controls, info),
        has_thrown=parts.explosions.has_thrown,
        zero_shares=unknown if stats is None else stats.zero_share.astype(np.float64),
        underflow_shares=stats.underflow_share.astype(np.float64)
        if stats is not None and is_half
        else np.zeros_like(unknown),
        time_slope=math.nan if time is None else time.slope,
        time_ratio=math.nan if time is None else time.ratio,
        loss=baseline.loss,
        lower_loss=losses.lower_half,
        baseline=baseline.baseline,
        uniform=baseline.uniform,
        beats_constant=parts.beyond_constant.is_shown,
        learnt=losses.learnt_since(losses.early),
        learnt_in_all=losses.learnt_since(losses.first),
        progress=losses.progress,
        reach=_reach(stats, losses, parts.explosions.mean_norm),
        is_held_back=_is_held_back(record, controls) or parts.rates.is_held_back,
        stalled_for=losses.stalled_for,
        stall=f"the loss {STANDS_STILL}" if losses.is_stalled else baseline.words(),
    )


def comparable_updates(stats: LayerStats, sizes: Sequence[int]) -> Floats:
    """Update ratios that say how far a layer was moved, NaN for one of a single number beside others.

    A single bias near zero moves by many times itself, and that means nothing.
    """
    updates: Floats = stats.update_ratio.astype(np.float64)
    single = np.array(sizes) == 1
    if not single.all():
        updates[single] = np.nan
    return updates


def _natural_updates(record: StepRecord, stats: LayerStats, controls: Controls, info: RunInfo) -> Floats:
    """Update ratios as they would be without clipping and scaling, NaN where not measured.

    Small steps that somebody asked for are no sign of a vanishing gradient; nor is a frozen layer.
    """
    updates = comparable_updates(stats, info.layer_sizes) / max(_throttle(record, controls), 1e-30)
    if controls.freeze is not None:
        updates[list(controls.freeze.matching(info.layers))] = np.nan
    return updates


def _is_held_back(record: StepRecord, controls: Controls) -> bool:
    """Whether the controls ask for far smaller steps, or for none of some layers."""
    return controls.freeze is not None or _throttle(record, controls) < _HELD_BACK


def _reach(stats: LayerStats | None, losses: LossTrend, mean_norm: float) -> float:
    """What a change of all weights can do to the loss, over what other batches do to it; NaN: unknown."""
    if stats is None or not losses.spread > _LEAST_SPREAD * abs(losses.now):
        return math.nan
    weights = stats.weight_norm.astype(np.float64)
    return mean_norm * math.sqrt(float(weights @ weights)) / losses.spread


def _throttle(record: StepRecord, controls: Controls) -> float:
    """What clipping and scaling leave of a step, 1 for all of it."""
    left = controls.lr_scale
    if record.applied_norm < record.grad_norm:
        left *= record.applied_norm / record.grad_norm
    return left
