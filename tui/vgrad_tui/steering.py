"""From a key to a command: which value comes next. Pure; knows nothing of keys or screens."""

from __future__ import annotations

import math

from vgrad.controls import MAX_LR_SCALE, Controls, SetAccumulation, SetClip, SetLrScale
from vgrad.transforms.clip import Clip, ClipGradNorm, ClipGradValue

ACCUMULATIONS = (1, 2, 4, 8, 16)
_LADDER = (1.0, 2.0, 5.0)
_SMALLEST, _LARGEST = 1e-6, 1e6


def toggled_clip(wanted: Controls, spare: Clip) -> SetClip:
    """Clipping off if it is on, else ``spare``."""
    return SetClip(spare if wanted.clip is None else None)


def next_threshold(clip: Clip, direction: int) -> Clip:
    """The next threshold up or down the ladder … 0.5, 1, 2, 5, 10 …."""
    match clip:
        case ClipGradNorm(max_norm=threshold):
            return ClipGradNorm(_next_rung(threshold, direction))
        case ClipGradValue(clip_value=threshold):
            return ClipGradValue(_next_rung(threshold, direction))


def other_kind(clip: Clip) -> Clip:
    """By value instead of by norm, or the other way round, at that kind's usual threshold."""
    return ClipGradValue(0.5) if isinstance(clip, ClipGradNorm) else ClipGradNorm(1.0)


def next_accumulation(wanted: Controls, direction: int) -> SetAccumulation:
    """The next of 1, 2, 4, 8, 16 microbatches; after the last comes the first."""
    now = wanted.accumulation_steps
    if direction > 0:
        return SetAccumulation(next((k for k in ACCUMULATIONS if k > now), ACCUMULATIONS[0]))
    return SetAccumulation(next((k for k in reversed(ACCUMULATIONS) if k < now), ACCUMULATIONS[-1]))


def next_lr_scale(wanted: Controls, direction: int) -> SetLrScale:
    """Twice or half the learning rate."""
    scale = wanted.lr_scale * 2.0**direction
    return SetLrScale(min(max(scale, 2.0**-20), MAX_LR_SCALE))


def _next_rung(value: float, direction: int) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is really above or below ``value``."""
    exponent = math.floor(math.log10(value))
    rungs = [step * 10.0**power for power in range(exponent - 1, exponent + 3) for step in _LADDER]
    if direction > 0:
        rung = next(rung for rung in rungs if rung > value * 1.001)
    else:
        rung = next(rung for rung in reversed(rungs) if rung < value * 0.999)
    return float(f"{min(max(rung, _SMALLEST), _LARGEST):.1g}")
