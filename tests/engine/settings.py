"""Everything that the catalog can say, for Hypothesis: every variant of every control, parameters varied."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from vgrad.controls.capabilities import Capabilities, Refusal
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Control, Number, OneOf, Variant
from vgrad.controls.controls import (
    CheckGradients,
    Command,
    Controls,
    Pause,
    Reinit,
    Resume,
    Set,
    StepOnce,
    Stop,
    UndoReinit,
)
from vgrad.errors import ConfigError
from vgrad.methods.init_schemes import REINITS

# Each is tried on each parameter: shares, thresholds and counts, large numbers.
_FLOATS = ((1e-3, 0.999), (1.0, 100.0), (1e3, 1e6))
_INTS = ((1, 100), (1000, 1_000_000))
_SIMPLE = (UndoReinit(), CheckGradients(), Pause(), Resume(), StepOnce(), Stop())


def is_possible(make: Any, **values: Any) -> bool:
    """Whether ``make`` takes these values."""
    try:
        make(**values)
    except ConfigError:
        return False
    return True


def parameters(kind: type[Any], name: str, default: object) -> st.SearchStrategy[Any]:
    """Values that a class takes for one parameter, its default among them."""
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, str):
        return st.text().filter(lambda text: is_possible(kind, **{name: text}))
    ranges = _INTS if isinstance(default, int) else _FLOATS
    numbers: Any = st.integers if isinstance(default, int) else st.floats
    usable = [
        numbers(least, most)
        for least, most in ranges
        if is_possible(kind, **{name: least}) and is_possible(kind, **{name: most})
    ]
    return st.one_of(st.just(default), *usable)


def of_variant(variant: Variant) -> st.SearchStrategy[Any]:
    """Every value of a variant."""
    kind = variant.type
    if kind is None:
        return st.none()
    varied = {
        field.name: parameters(kind, field.name, variant.parameters[field.name])
        for field in fields(kind)
        if field.init
    }
    together = st.fixed_dictionaries(varied).filter(lambda chosen: is_possible(kind, **chosen))
    return together.map(lambda chosen: kind(**chosen))


def of_control(control: Control) -> st.SearchStrategy[Any]:
    """Everything that a control can be set to."""
    if isinstance(control, OneOf):
        return st.one_of([of_variant(variant) for variant in control.variants.values()])
    if isinstance(control, Number):
        return st.floats(control.least, control.most)
    return st.sampled_from([None, *control.words])


values = {name: of_control(control) for name, control in CONTROLS.items()}
settings = st.one_of([st.builds(Set, st.just(name), strategy) for name, strategy in values.items()])
commands: st.SearchStrategy[Command] = st.one_of(
    settings, st.builds(Reinit, st.sampled_from(list(REINITS))), st.sampled_from(_SIMPLE)
)
controls = (
    st.fixed_dictionaries({**values, "paused": st.booleans()})
    .filter(lambda chosen: is_possible(Controls, **chosen))
    .map(lambda chosen: Controls(**chosen))
)
capabilities = st.builds(
    Capabilities,
    st.lists(st.builds(Refusal, st.sampled_from(sorted(CONTROLS)), st.text(), st.text())).map(tuple),
)
