"""From a key to a command: which value comes next. Pure; knows nothing of keys or screens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from vgrad.controls.catalog import CLIP
from vgrad.controls.choices import Control, Number, OneOf, Variant
from vgrad.controls.controls import Controls, Set
from vgrad.errors import ConfigError
from vgrad.events.step_record import StepRecord
from vgrad.methods.accumulate import MeanOver, SumOver

if TYPE_CHECKING:
    from vgrad.controls.choices import ControlValue

ACCUMULATIONS = (1, 2, 4, 8, 16)
_LADDER = (1.0, 2.0, 5.0)
_SMALLEST, _LARGEST = 1e-6, 1e6


def toggled_clip(wanted: Controls, spare: ControlValue) -> Set:
    """Clipping off if it is on, else ``spare``."""
    return Set("clip", spare if wanted.clip is None else None)


def next_parameter(value: Any, direction: int, *, unset: float = math.nan) -> Any:
    """``value`` with its first parameter on the next rung of the ladder … 0.5, 1, 2, 5, 10 ….

    Where there is no such number (``off``, a name, a percentile of 200) the value stays as it is.

    Args:
        value: Of any control.
        direction: 1 up, -1 down.
        unset: What a first parameter of None stands for at present, such as a learning rate.
    """
    if not is_dataclass(value) or isinstance(value, type) or not fields(value):
        return value
    name = fields(value)[0].name
    now = getattr(value, name)
    now = unset if now is None else now
    if isinstance(now, bool | str) or not (math.isfinite(now) and now > 0):
        return value
    try:
        return replace(value, **{name: _next_rung(now, direction)})
    except ConfigError:
        return value


def next_clip_variant(clip: object) -> ControlValue:
    """The next variant of clipping, with its usual parameters; after the last comes the first."""
    variants = [variant for variant in CLIP.variants.values() if variant.type is not None]
    position = variants.index(CLIP.variant_of(clip))
    return variants[(position + 1) % len(variants)].value()


def next_accumulation(wanted: Controls, direction: int) -> Set:
    """The next of 1, 2, 4, 8, 16 microbatches; after 16 comes 1, but below 1 there is nothing."""
    now = wanted.accumulation_steps
    if direction > 0:
        steps = next((k for k in ACCUMULATIONS if k > now), ACCUMULATIONS[0])
    else:
        steps = next((k for k in reversed(ACCUMULATIONS) if k < now), ACCUMULATIONS[0])
    rule = SumOver if isinstance(wanted.accumulate, SumOver) else MeanOver
    return Set("accumulate", rule(steps))


def next_value(
    control: Control, value: Any, direction: int, *, words: Sequence[str | None] | None = None
) -> Set:
    """The next thing that ``control`` can be, with its usual parameters; after the last comes the first.

    Twice or half as much, where it is a number.

    Args:
        control: What is set.
        value: What it is now.
        direction: 1 for the next, -1 for the one before.
        words: What a control of words can be here; all that it has unless given.
    """
    if isinstance(control, Number):
        return Set(control.name, min(max(value * 2.0**direction, control.least), control.most))
    if isinstance(control, OneOf):
        variants = list(control.variants.values())
        position = variants.index(control.variant_of(value))
        return Set(control.name, usual(variants[(position + direction) % len(variants)], value))
    words = (None, *control.words) if words is None else words
    position = words.index(value) if value in words else 0
    return Set(control.name, words[(position + direction) % len(words)])


def usual(variant: Variant, now: object) -> ControlValue:
    """A variant with its usual parameters, but with as many microbatches as there are ``now``."""
    steps = getattr(now, "steps", None)
    return (
        variant.value() if steps is None or "steps" not in variant.parameters else variant.build(str(steps))
    )


def unset_parameter(controls: Controls, record: StepRecord | None) -> float:
    """The learning rate that is used at present where none is given, without its schedule; NaN: unknown."""
    if record is None:
        return math.nan
    factor = controls.schedule.factor(record.step)
    return record.base_lr / factor if factor > 0 else math.nan


def _next_rung(value: float, direction: int) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is really above or below ``value``.

    ``value`` itself where that would be beyond the ends of the ladder.
    """
    exponent = math.floor(math.log10(value))
    rungs = [step * 10.0**power for power in range(exponent - 1, exponent + 3) for step in _LADDER]
    if direction > 0:
        rung = min(next(rung for rung in rungs if rung > value * 1.001), max(value, _LARGEST))
    else:
        rung = max(next(rung for rung in reversed(rungs) if rung < value * 0.999), min(value, _SMALLEST))
    return value if rung == value else float(f"{rung:.1g}")
