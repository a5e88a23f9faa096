"""What the rules look at: the numbers of one moment of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]

RATIO_VANISHING = 1e-2
RATIO_HOPELESS = 1e-5  # no optimizer makes up for it: such gradients are lost beside its epsilon
UNDERFLOW_SHARE = 0.5
NOTHING_LEARNT = 0.1  # of the loss that the first steps left
LITTLE = 0.85  # of the baseline: a run that is not below has learnt next to nothing
NO_BETTER = 0.97  # of a uniform guess's loss
COLD = 1e-4  # of the weights: a step that is shorter hardly learns anything

_UNDERFLOW_FIRST = 0.9  # the first layer gets the smallest gradients: it is lost before the others are


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
        beats_constant: Whether single batches are known to cost less than any constant prediction would.
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
    beats_constant: bool
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
