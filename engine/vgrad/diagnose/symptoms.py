"""What the rules look at: the numbers of one moment of a run, from all that was seen of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vgrad.diagnose.losses import STANDS_STILL
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

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

RATIO_VANISHING = 1e-2
RATIO_HOPELESS = 1e-5  # no optimizer makes up for it: such gradients are lost beside its epsilon
UNDERFLOW_SHARE = 0.5
NOTHING_LEARNT = 0.1  # of the loss that the first steps left
LITTLE = 0.85  # of the baseline: who is not below has learnt next to nothing
NO_BETTER = 0.97  # of a uniform guess's loss
COLD = 1e-4  # of the weights: a step that is shorter hardly learns anything

_UNDERFLOW_FIRST = 0.9  # the first layer gets the smallest gradients: it is lost before the others are
_HELD_BACK = 0.01  # of a step
_LEAST_SPREAD = 1e-4  # of the loss: batches that differ by less are one and the same


@dataclass(frozen=True, slots=True, eq=False)
class Symptoms:
    """What the rules look at. NaN is what has not been measured, and no rule takes it for a number.

    Attributes:
        names: Layer names.
        norms: L2 norm of each layer's gradient, shape ``(num_layers,)``.
        silent: Whether each layer's gradient has been exactly zero for 100 steps.
        ever: Whether each layer ever got a gradient.
        has_faded: Whether the last gradient of a silent layer was far smaller than its first.
        first: Index of the first layer that ever got a gradient.
        last: Index of the last one.
        ratio: Median root-mean-square gradient of the first of these layers over that of the last.
        ratio_first: The same at the very first step.
        ratio_early: The same over the first steps of the run.
        ratio_stalled: The same when this stall was first seen; NaN where there is none.
        updates: ‖Δp‖/‖p‖ per layer, as it would be without clipping and scaling; NaN where frozen.
        has_thrown: Whether any step that was measured moved a layer by a tenth of its weights.
        zero_shares: Share of exactly zero gradient entries per layer.
        underflow_shares: Share of entries per layer that float16 rounds to zero; zeros where the run
            computes in another precision.
        time_slope: Slope of log10‖dE/dh_t‖ per step backwards.
        time_ratio: ‖dE/dh_t‖ of the first over that of the last time step.
        loss: Mean loss of the last 100 steps.
        lower_loss: The lower one of the means of both halves of these steps.
        baseline: Loss of a constant prediction.
        uniform: Loss of a uniform guess, where that is known and the baseline is not.
        learnt: By what share the loss is lower than where the first steps left it; negative: it is higher.
        learnt_in_all: The same of the very first loss.
        progress: By how many standard errors the loss is lower than where the first steps left it.
        reach: ‖g‖·‖p‖ over the spread of the losses: what a change of the weights can do to the loss, beside
            what other batches do to it.
        is_held_back: Whether somebody asked for far smaller steps, or for none of some layers.
        stalled_for: Steps that the run has stalled for; 0 while it learns.
        stall: The stall in words.
    """

    names: tuple[str, ...]
    norms: Floats
    silent: Bools
    ever: Bools
    has_faded: bool
    first: int
    last: int
    ratio: float
    ratio_first: float
    ratio_early: float
    ratio_stalled: float
    updates: Floats
    has_thrown: bool
    zero_shares: Floats
    underflow_shares: Floats
    time_slope: float
    time_ratio: float
    loss: float
    lower_loss: float
    baseline: float
    uniform: float
    learnt: float
    learnt_in_all: float
    progress: float
    reach: float
    is_held_back: bool
    stalled_for: int
    stall: str

    @property
    def knows_baseline(self) -> bool:
        """Whether it is known what a constant prediction costs."""
        return not math.isnan(self.baseline)

    @property
    def is_a_guess(self) -> bool:
        """Whether the loss is known to be no lower than that of a uniform guess."""
        return self.loss > NO_BETTER * self.uniform  # False of NaN

    @property
    def has_moved(self) -> bool:
        """Whether steps are long enough to learn something."""
        return self.typical_update >= COLD  # False of NaN

    @property
    def is_lost_to_underflow(self) -> bool:
        """Whether float16 rounds most of the gradient to zero, or nearly all of the first layer's."""
        known = self.underflow_shares[np.isfinite(self.underflow_shares)]
        if not known.size:
            return False
        return bool(np.median(known) >= UNDERFLOW_SHARE or self.underflow_shares[0] >= _UNDERFLOW_FIRST)

    @property
    def never_learnt(self) -> bool:
        """Whether the loss has stayed where the first steps left it, or near the baseline."""
        return self.learnt < NOTHING_LEARNT or self.loss > LITTLE * self.baseline

    @property
    def has_updates(self) -> bool:
        """Whether the update of any layer has been measured."""
        return bool(np.isfinite(self.updates).any())

    @property
    def typical_update(self) -> float:
        """Median update ratio of the layers; NaN where none has been measured."""
        return float(np.nanmedian(self.updates)) if self.has_updates else math.nan

    @property
    def first_ratio(self) -> float:
        """`ratio`, where rows that no batch touches (of an embedding) are not counted."""
        zeros = float(self.zero_shares[self.first])
        return self.ratio / math.sqrt(1 - zeros) if 0 < zeros < 1 else self.ratio

    @property
    def reaches_everywhere(self) -> bool:
        """Whether the gradient fades neither over depth nor back in time."""
        fades_in_time = not math.isnan(self.time_ratio) and self.time_ratio < 1
        return self.ratio >= RATIO_VANISHING and not fades_in_time


def symptoms_of(
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
