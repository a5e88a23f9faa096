"""What is changed in a run that did not learn, to see what would have made it learn. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vgrad.lab.accuracy.cases import Case
from vgrad.lab.accuracy.labels import CureKind
from vgrad.recipes.recipe import Choice
from vgrad.recipes.registry import get_recipe

CLIP = "clip norm 1"
_RECURRENT = ("charlm-rnn", "charlm-lstm", "charlm-gru", "temporal-order", "adding-gates")


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A case with one thing changed.

    Attributes:
        kind: What it is a cure of.
        name: What was changed.
        case: The case with the change; the same weights and data otherwise.
        redraw: Whether the weights are drawn again, by the same initialisation, before the first step.
    """

    kind: CureKind
    name: str
    case: Case
    redraw: bool = False


def counterfactuals(case: Case, kind: CureKind) -> Iterator[Counterfactual]:
    """The counterfactuals of one kind, the likeliest first; none where there is nothing to change."""
    match kind:
        case "slow":
            yield _with(case, kind, "lr x 10", lr_scale="10")
        case "explosion":
            if not str(case.settings.get("clip", "")).startswith("norm"):
                yield _with(case, kind, CLIP, clip="norm:1")
            yield _with(case, kind, "lr / 10", lr_scale="0.1")
            yield _with(case, kind, "lr / 100", lr_scale="0.01")
        case "dead":
            if _part(case, "activation") == "relu":
                yield Counterfactual(kind, "another draw", replace(case, dead_bias=0.0), redraw=True)
                if _can_be(case, "activation", "gelu"):
                    yield _built(case, kind, "gelu", activation="gelu")
        case "vanishing":
            yield from _against_vanishing(case)


def _against_vanishing(case: Case) -> Iterator[Counterfactual]:
    if str(case.settings.get("precision", "")).startswith("fp16"):
        yield _with(case, "vanishing", "fp32", precision="fp32")
    if case.recipe in _RECURRENT:
        if case.options.get("cell", case.recipe.removeprefix("charlm-")) == "rnn":
            for cell in ("gru", "lstm"):
                options = {name: value for name, value in case.options.items() if name != "activation"}
                yield Counterfactual("vanishing", cell, replace(case, options={**options, "cell": cell}))
            yield _with(case, "vanishing", "omega and clip", omega="4", clip="norm:1")
        return
    for name, part in (("skip", "skip"), ("layer norm", "layer_norm")):
        if _part(case, part) is False:
            yield _built(case, "vanishing", name, **{part: True})
    if _part(case, "activation") != "tanh" and _can_be(case, "activation", "tanh"):
        yield _built(case, "vanishing", "tanh", activation="tanh")


def _part(case: Case, name: str) -> object:
    """What a part of the model is built as, or None where it has no such part."""
    return case.options.get(name, get_recipe(case.recipe).options.get(f"model.{name}"))


def _can_be(case: Case, name: str, value: str) -> bool:
    setting = get_recipe(case.recipe).settings.get(f"model.{name}")
    return isinstance(setting, Choice) and value in setting.among


def _with(case: Case, kind: CureKind, name: str, **settings: str) -> Counterfactual:
    return Counterfactual(kind, name, replace(case, settings={**case.settings, **settings}))


def _built(case: Case, kind: CureKind, name: str, **options: Any) -> Counterfactual:
    changed: Mapping[str, Any] = {**case.options, **options}
    return Counterfactual(kind, name, replace(case, options=changed))
