"""What to do about a verdict: the commands that a key applies, and the words beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.controls.controls import Command, Controls, Reinit, Set
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.omega import Omega
from vgrad.methods.precision import Float16, Float32
from vgrad.methods.skip_non_finite import SkipNonFinite

if TYPE_CHECKING:
    from vgrad.diagnose.finding import Finding
    from vgrad.events.run_info import RunInfo

Remedy = tuple[tuple[Command, ...], str]

_LIMITS = (1e-3, 1e6)
_LOWER_LR = 0.1
_MUCH = 3.0
_FEW_SAMPLES = 4
_SAMPLES_WANTED = 16
_USUAL_SCALE = 65536.0  # torch.amp's first one


@dataclass(frozen=True, slots=True)
class Explosion:
    """What a remedy of an explosion depends on.

    Attributes:
        calm_norm: Gradient norm of before the explosion.
        exploded_norm: Largest norm of the explosion; NaN where the norm did not rise.
        num_samples: Samples of a step; 0 where they are not counted.
        is_lost: Whether the run has not found back for long.
        is_tried: Whether what the run does was done under these controls: else they are not to blame.
    """

    calm_norm: float
    exploded_norm: float
    num_samples: int
    is_lost: bool
    is_tried: bool

    @property
    def would_have_clipped(self) -> bool:
        """Whether clipping at the calm norm would have made the exploding steps much shorter."""
        return self.exploded_norm >= _MUCH * self.calm_norm


def against_explosion(controls: Controls, explosion: Explosion) -> Remedy:
    """Average more samples where there are few, clip where that would have helped, else shorten the steps."""
    if 0 < explosion.num_samples <= _FEW_SAMPLES and controls.lr_scale > 1 / _SAMPLES_WANTED:
        return _against_noise(controls, explosion)
    if not isinstance(controls.clip, ClipGradNorm):
        return _of_unclipped(controls, explosion)
    if not explosion.is_tried:
        return (), "what was changed has yet to show what it does: give it some hundred steps"
    if explosion.is_lost:
        return (Reinit("torch"),), _START_AGAIN
    return (_slower(controls),), "it explodes though it is clipped: lower the threshold or the learning rate"


def _of_unclipped(controls: Controls, explosion: Explosion) -> Remedy:
    if explosion.would_have_clipped:
        advice = "clip by norm; weights that are already far off may not come back"
        return (_clip(explosion.calm_norm),), _START_AGAIN if explosion.is_lost else advice
    if not explosion.is_tried:
        return (), "what was changed has yet to show what it does: give it some hundred steps"
    advice = "the gradient was hardly larger than before, and clipping would not cut it: lower the rate"
    reinit = (Reinit("torch"),) if explosion.is_lost else ()
    return (_slower(controls), *reinit), advice


def _against_noise(controls: Controls, explosion: Explosion) -> Remedy:
    reinit = (Reinit("torch"),) if explosion.is_lost else ()
    words = f"a gradient of {explosion.num_samples} samples is mostly noise at this learning rate"
    if controls.accumulation_steps < _SAMPLES_WANTED:
        more = Set("accumulate", MeanOver(_SAMPLES_WANTED))
        return (more, *reinit), f"{words}: accumulate {_SAMPLES_WANTED}, or take a sixteenth of the rate"
    slower = Set("lr_scale", controls.lr_scale / _SAMPLES_WANTED)
    return (slower, *reinit), f"{words}: take a sixteenth of it"


def against_non_finite(controls: Controls, calm_norm: float, recent_norm: float) -> Remedy:
    """Weights that are NaN stay so: draw new ones, but first see to it that it does not happen again.

    Clipping or a lower rate is proposed only where the gradient had grown in the steps before. Where it had
    not, neither would have acted: then the step is to be dropped.

    Args:
        controls: Those of the step.
        calm_norm: Median gradient norm of the steps before; NaN: there were none.
        recent_norm: Largest norm of the last ten of them.
    """
    if recent_norm >= _MUCH * calm_norm:
        advice = "the gradient grew before: start again with clipping on or a lower learning rate"
        is_clipped = isinstance(controls.clip, ClipGradNorm)
        return (_slower(controls) if is_clipped else _clip(calm_norm), Reinit("torch")), advice
    look = "look at the inputs of that step, and at log, sqrt, exp and divisions"
    if controls.skip_non_finite is not None:
        return (Reinit("torch"),), f"no step is finite any more, though such steps are dropped: {look}"
    advice = (
        f"the gradient was no larger before, and clipping would not have acted: {look}; or drop such steps"
    )
    return (Set("skip_non_finite", SkipNonFinite()), Reinit("torch")), advice


def still_due(remedy: tuple[Command, ...], controls: Controls) -> tuple[Command, ...]:
    """What of a remedy has not been done by hand: what it sets is left out where it is set already."""
    return tuple(
        command
        for command in remedy
        if not isinstance(command, Set) or getattr(controls, command.control) != command.value
    )


def against(finding: Finding, info: RunInfo, controls: Controls) -> Remedy:
    """The remedy of what `vgrad.diagnose.rules` found."""
    match finding.rule:
        case "underflow":
            return _against_underflow(controls)
        case "overshoot" | "killed":
            return _against_long_steps(controls, has_killed=finding.rule == "killed")
        case "dead" | "time-growth" | "saturated" | "faint":
            return _ALWAYS[finding.rule]
        case "time":
            return _against_vanishing_in_time(info, controls)
        case "depth" | "still" | "stuck":
            in_time = finding.rule != "still" and info.recurrent
            return (_against_vanishing_in_time if in_time else _against_vanishing_in_depth)(info, controls)


_ALWAYS: Mapping[str, Remedy] = {
    "dead": (
        (Reinit("he"),),
        "re-initialise the weights, for units that never open get no gradient; or another activation",
    ),
    "time-growth": (
        (Set("clip", ClipGradNorm(1.0)), Reinit("torch")),
        "the recurrent matrix is too large: re-initialise the weights, and clip the gradient",
    ),
    "saturated": ((), "scale the inputs to a mean of 0 and a spread of 1: raw ones saturate the units"),
    "faint": (
        (),
        "outputs or units are saturated: look at the loss and the last layer, or scale the targets",
    ),
}
"""The remedies that are the same for every run, by rule."""


def _against_underflow(controls: Controls) -> Remedy:
    precision = controls.precision
    if isinstance(precision, Float16) and precision.scale < _USUAL_SCALE:
        scaled = Set("precision", Float16(_USUAL_SCALE))
        return (scaled,), "multiply the loss before the backward pass"
    whole = Set("precision", Float32())
    return (whole,), "its gradients are too small for float16, whatever the scale"


def _against_long_steps(controls: Controls, *, has_killed: bool) -> Remedy:
    if has_killed:
        slower = (_slower(controls), Reinit("he"))
        return (
            slower,
            "lower the learning rate, and re-initialise the weights, for closed units get no gradient",
        )
    return (_slower(controls),), "steps are too long for it to settle: lower the learning rate"


def _against_vanishing_in_time(info: RunInfo, controls: Controls) -> Remedy:
    # Gated cells have no choice of activation, and Ω is not defined for them.
    if "activation" not in dict(info.structure) or controls.omega is not None:
        return (), "a gated cell (LSTM, GRU), an orthogonal recurrent matrix or shorter sequences help"
    if controls.clip is None:
        clip = Set("clip", ClipGradNorm(1.0))
        return (clip,), "clip first, then Ω: it makes gradients larger; or take a gated cell"
    return (Set("omega", Omega()),), "Ω keeps the gradient's length through time; or take a gated cell"


def _against_vanishing_in_depth(info: RunInfo, controls: Controls) -> Remedy:
    advice = (
        "clipping, accumulation and the learning rate do not cure this:"
        " another activation, skip connections or another initialisation do"
    )
    built, offered = dict(info.built), dict(info.structure)
    for name, value in (("skip", "on"), ("layer_norm", "on"), ("activation", "tanh")):
        now = getattr(controls, name) or built.get(name)
        if value in offered.get(name, ()) and now != value:
            return (Set(name, value),), advice
    return (), advice


_START_AGAIN = "start again with clipping on from the first step, or with a lower learning rate"


def _clip(calm_norm: float) -> Set:
    return Set("clip", ClipGradNorm(_round_limit(calm_norm)))


def _slower(controls: Controls) -> Set:
    return Set("lr_scale", max(_LOWER_LR * controls.lr_scale, 1e-12))


def _round_limit(norm: float) -> float:
    smallest, largest = _LIMITS
    known = norm if math.isfinite(norm) else 1.0  # NaN from the first step on
    return float(f"{min(max(known, smallest), largest):.0e}")
