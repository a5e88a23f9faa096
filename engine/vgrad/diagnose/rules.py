"""The rules: what is wrong with a run that has stalled, and what is worth knowing of one that has not.

A run that learns is healthy whatever its gradients look like: an adaptive optimizer makes up for a
gradient that has all but vanished, and a default LSTM starts with one of 3e-11 through time. So each
of these rules asks for a stall first, and each names the numbers that it rests on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RATIO_VANISHING = 1e-2
_UPDATE_VANISHING = 5e-5
_MEDIAN_UPDATE_VANISHING = 1e-5
_DEAD_SHARE = 0.999  # deep ReLU stacks that vanish come to more than nine zeros in ten, and are not dead
_FADED_NORM = (
    1e-20  # a gradient that fades out to zero passes through such norms; one that is cut off does not
)
_SLOPE_VANISHING = -0.1
_TIME_RATIO_VANISHING = 1e-2
_UNDERFLOW_SHARE = 0.5
_UNDERFLOW_FIRST = 0.9  # the first layer gets the smallest gradients: it is lost before the others are
_NOTHING_LEARNT = 0.1  # of the loss that the first steps left
_STUCK = 0.07  # where no other number stands out; text models that learn what is easy in 40 steps come near
_LEARNT_AT_ONCE = 0.9  # of the first loss: who is so far down has learnt it in the first steps
_OVERSHOT = 1.03  # of the baseline: no model that has come to rest is so far above
_LITTLE = 0.85  # of the baseline: who is not below has learnt next to nothing
_LONG_STEPS, _LONG_STEPS_IN_TIME = 1e-2, 5e-3  # of the weights; recurrent weights are used at every time step
_PLATEAU = 240  # steps: tasks over time are learnt after plateaus that look like the end
_COLD, _HOT = 1e-4, 0.1

FindingRule = Literal["underflow", "killed", "dead", "overshoot", "depth", "still", "time", "stuck"]
FINDING_RULES: tuple[str, ...] = get_args(FindingRule)


@dataclass(frozen=True, slots=True, eq=False)
class Symptoms:
    """What the rules look at. NaN is what has not been measured, and no rule takes it for a number.

    Attributes:
        names: Layer names.
        norms: L2 norm of each layer's gradient, shape ``(num_layers,)``.
        ratio: Median root-mean-square gradient of the first layer over that of the last.
        ratio_first: The same at the very first step.
        ratio_early: The same over the first steps of the run.
        updates: ‖Δp‖/‖p‖ per layer, as it would be without clipping and scaling; NaN where frozen.
        zero_shares: Share of exactly zero gradient entries per layer.
        underflow_shares: Share of entries per layer that float16 rounds to zero; zeros where the run
            computes in another precision.
        time_slope: Slope of log10‖dE/dh_t‖ per step backwards.
        time_ratio: ‖dE/dh_t‖ of the first over that of the last time step.
        loss: Mean loss of the last steps.
        baseline: Loss of who ignores the inputs.
        learnt: By what share the loss is lower than where the first steps left it; negative: it is higher.
        learnt_in_all: The same of the very first loss.
        is_held_back: Whether somebody asked for far smaller steps, or for none of some layers.
        stalled_for: Steps that the run has stalled for; 0 while it learns.
        stall: The stall in words.
    """

    names: tuple[str, ...]
    norms: Floats
    ratio: float
    ratio_first: float
    ratio_early: float
    updates: Floats
    zero_shares: Floats
    underflow_shares: Floats
    time_slope: float
    time_ratio: float
    loss: float
    baseline: float
    learnt: float
    learnt_in_all: float
    is_held_back: bool
    stalled_for: int
    stall: str

    @property
    def has_moved(self) -> bool:
        """Whether steps are long enough to learn something."""
        return self.typical_update >= _COLD  # False of NaN

    @property
    def is_lost_to_underflow(self) -> bool:
        """Whether float16 rounds most of the gradient to zero, or nearly all of the first layer's."""
        known = self.underflow_shares[np.isfinite(self.underflow_shares)]
        if not known.size:
            return False
        return bool(np.median(known) >= _UNDERFLOW_SHARE or self.underflow_shares[0] >= _UNDERFLOW_FIRST)

    @property
    def never_learnt(self) -> bool:
        """Whether the loss has stayed where the first steps left it, or near the baseline."""
        return self.learnt < _NOTHING_LEARNT or self.loss > _LITTLE * self.baseline

    @property
    def has_updates(self) -> bool:
        """Whether the update of any layer has been measured."""
        return bool(np.isfinite(self.updates).any())

    @property
    def typical_update(self) -> float:
        """Median update ratio of the layers; NaN where none has been measured."""
        return float(np.nanmedian(self.updates)) if self.has_updates else math.nan

    @property
    def reaches_everywhere(self) -> bool:
        """Whether the gradient fades neither over depth nor back in time."""
        fades_in_time = not math.isnan(self.time_ratio) and self.time_ratio < 1
        return self.ratio >= RATIO_VANISHING and not fades_in_time


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong.

    Attributes:
        kind: As in `vgrad.events.verdict.Verdict`.
        rule: The rule that found it.
        evidence: The numbers.
        layers: Indices of the layers it is about.
    """

    kind: Literal["vanishing", "dead", "exploding"]
    rule: FindingRule
    evidence: str
    layers: tuple[int, ...] = ()


def find(symptoms: Symptoms) -> Finding | None:
    """Return why a run that has stalled does not learn, or None if the gradients do not tell."""
    for rule in (find_underflow, _dead, _overshoot, _depth, _still, _time, _stuck):
        finding = rule(symptoms)
        if finding is not None:
            return finding
    return None


def tags(symptoms: Symptoms) -> tuple[str, ...]:
    """What is worth knowing of a run that is not sick."""
    updates = symptoms.updates[np.isfinite(symptoms.updates)]
    found = []
    if symptoms.ratio < RATIO_VANISHING and symptoms.updates[0] >= _COLD:
        found.append("compensated")
    if updates.size and np.median(updates) < _COLD:
        found.append("cold")
    if updates.size and updates.max() > _HOT:
        found.append("hot")
    if symptoms.is_lost_to_underflow:
        found.append("underflow")
    return tuple(found)


def find_underflow(s: Symptoms) -> Finding | None:
    """Float16 loses the gradient. This needs no stall: what is left of it may make the loss wander."""
    if not s.is_lost_to_underflow:
        return None
    layers = np.flatnonzero(s.underflow_shares >= _UNDERFLOW_SHARE)
    worst = int(np.nanargmax(s.underflow_shares))
    return Finding(
        "vanishing",
        "underflow",
        f"float16 rounds {s.underflow_shares[worst]:.0%} of the gradient of {s.names[worst]} to zero;"
        f" {s.stall}",
        tuple(layers.tolist()),
    )


def _dead(s: Symptoms) -> Finding | None:
    """A layer that lets nothing through: what is below it gets exactly nothing, at once.

    The first layer may be an embedding, most of whose rows no batch touches: it must be all zero. Where
    the gradient had all but vanished before it went out, its vanishing is the cause.
    """
    is_dead = s.zero_shares >= _DEAD_SHARE
    is_dead[0] = s.norms[0] == 0
    if not is_dead.any() or _fades(s.norms) or 0 < s.ratio_early < RATIO_VANISHING:
        return None
    layers = np.flatnonzero(is_dead)
    evidence = f"{len(layers)} of {len(s.names)} layers get a gradient of zeros, up to {s.names[layers[-1]]}"
    if s.ratio_first >= RATIO_VANISHING:
        evidence += ", and got some at the first step: steps that are too long have closed their units"
        return Finding("exploding", "killed", f"{evidence}; {s.stall}", tuple(layers.tolist()))
    return Finding("dead", "dead", f"{evidence}; {s.stall}", tuple(layers.tolist()))


def _fades(norms: Floats) -> bool:
    """Whether the norms run down to zero, as in a stack so deep that float32 has no smaller numbers."""
    alive = norms[norms > 0]
    return bool(alive.size and alive.min() < _FADED_NORM)


def _overshoot(s: Symptoms) -> Finding | None:
    """Steps that are too long to settle on anything.

    Whose gradient vanishes still learns the best constant answer, which takes the last biases alone.
    """
    if not s.loss > _OVERSHOT * s.baseline or not s.has_moved or s.is_held_back:
        return None
    return Finding(
        "exploding",
        "overshoot",
        f"the loss stands at {s.loss:.3g}, and ignoring the inputs would cost {s.baseline:.3g}: weights move"
        f" by {s.typical_update:.0e} a step, too far to settle; {s.stall}",
    )


def _depth(s: Symptoms) -> Finding | None:
    """The first layer gets next to nothing.

    A run that has learnt something and now stands still may have reached its end: then the first layer
    must stand still, too. In one that never learnt, large updates of a small gradient, as adaptive
    optimizers make them, did not make up for it.
    """
    first = float(s.updates[0])
    is_starved = s.ratio < RATIO_VANISHING and (s.never_learnt or first < _UPDATE_VANISHING)
    if not is_starved or (math.isnan(first) and (s.has_updates or s.is_held_back)):
        return None
    moves = (
        "its updates are not measured" if math.isnan(first) else f"moves by {first:.0e} of its weights a step"
    )
    return Finding(
        "vanishing",
        "depth",
        f"{s.names[0]} gets {s.ratio:.0e} of the gradient of {s.names[-1]} and {moves}; {s.stall}",
        (0,),
    )


def _still(s: Symptoms) -> Finding | None:
    if not s.has_updates:
        return None
    median = float(np.nanmedian(s.updates))
    if median >= _MEDIAN_UPDATE_VANISHING:
        return None
    return Finding(
        "vanishing",
        "still",
        f"half of the layers move by less than {median:.0e} of their weights a step; {s.stall}",
        (0,),
    )


def _time(s: Symptoms) -> Finding | None:
    is_fading = s.time_slope < _SLOPE_VANISHING and s.time_ratio < _TIME_RATIO_VANISHING
    if s.stalled_for < _PLATEAU or not is_fading:
        return None
    return Finding(
        "vanishing",
        "time",
        f"the gradient falls by {-s.time_slope:.2f} decades a step back in time, to {s.time_ratio:.0e};"
        f" {s.stall}",
    )


def _stuck(s: Symptoms) -> Finding | None:
    """The weights move by enough to learn, and the run has led nowhere: no layer stands out.

    A vanishing gradient is by far the most frequent reason, for an adaptive optimizer makes up for its
    size and not for its lost direction. Where it reaches everywhere, and steps are long, they are too long.
    """
    may_learn_yet = s.stalled_for < _PLATEAU or s.is_held_back
    if not s.has_moved or may_learn_yet or s.learnt >= _STUCK or s.learnt_in_all >= _LEARNT_AT_ONCE:
        return None
    evidence = f"weights move by {s.typical_update:.0e} a step, and nothing was learnt since the first steps"
    is_long = s.typical_update >= (_LONG_STEPS if math.isnan(s.time_ratio) else _LONG_STEPS_IN_TIME)
    if is_long and s.reaches_everywhere:
        return Finding("exploding", "overshoot", f"{evidence}; {s.stall}")
    return Finding("vanishing", "stuck", f"{evidence}; {s.stall}")
