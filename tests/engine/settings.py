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

_RANGES = ((1e-3, 0.999), (1.0, 100.0), (1e3, 1e6))  # each is tried on each parameter
_SIMPLE = (UndoReinit(), CheckGradients(), Pause(), Resume(), StepOnce(), Stop())


def is_possible(make: Any, **parameters: Any) -> bool:
    try:
        make(**parameters)
    except ConfigError:
        return False
    return True


def parameters(kind: type[Any], name: str, default: object) -> st.SearchStrategy[Any]:
    """Values that a class takes for one parameter, its default among them."""
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, str):
        return st.text().filter(lambda text: is_possible(kind, **{name: text}))
    numbers: list[st.SearchStrategy[Any]] = [st.just(default)]
    for least, most in _RANGES:
        if isinstance(default, int) and least >= 1:
            inner: st.SearchStrategy[Any] = st.integers(int(least), int(most))
        else:
            inner = st.floats(least, most)
        numbers.append(inner.filter(lambda number: is_possible(kind, **{name: number})))
    tried = [((1.0 if isinstance(default, int) else least), most) for least, most in _RANGES]
    usable = [
        strategy
        for strategy, (least, most) in zip(numbers[1:], tried, strict=True)
        if is_possible(kind, **{name: type(default)(least) if isinstance(default, int) else least})
        and is_possible(kind, **{name: type(default)(most) if isinstance(default, int) else most})
    ]
    return st.one_of(numbers[0], *usable)


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
