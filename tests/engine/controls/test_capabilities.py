"""What a run can use is computed once, and every way to ask gives the same answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from torch import nn

from vgrad.controls.capabilities import (
    EVERYTHING,
    NEEDS_OWN_LOOP,
    Capabilities,
    Refusal,
    in_any_loop,
    without_dense,
)
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Number, OneOf
from vgrad.controls.controls import (
    COMMANDS,
    Controls,
    Pause,
    Reinit,
    Set,
    reduce,
    require_usable,
)
from vgrad.errors import ConfigError
from vgrad.methods.transform import GradTransform
from vgrad.train.capabilities import capabilities_of


def settings(name: str) -> list[tuple[str, Any]]:
    """Every word of a control with a value of it."""
    control = CONTROLS[name]
    if isinstance(control, OneOf):
        return [(variant.word, variant.value()) for variant in control.variants.values()]
    return [("", 2.0)] if isinstance(control, Number) else [(word, word) for word in control.words]


@pytest.mark.parametrize("name", CONTROLS)
def test_reduce_refuses_exactly_what_is_refused_and_says_why(name: str) -> None:
    capabilities = in_any_loop()
    for word, value in settings(name):
        is_default = value == getattr(Controls(), name)
        if capabilities.why_not(name, word) and not is_default:
            with pytest.raises(ConfigError, match=f"{name}.*: {NEEDS_OWN_LOOP}"):
                reduce(Controls(), Set(name, value), capabilities)
            with pytest.raises(ConfigError, match=NEEDS_OWN_LOOP):
                require_usable(Controls(**{name: value}), capabilities)
        else:
            assert getattr(reduce(Controls(), Set(name, value), capabilities), name) == value
            require_usable(Controls(**{name: value}), capabilities)


@pytest.mark.parametrize("name", CONTROLS)
def test_going_back_to_the_default_is_never_refused(name: str) -> None:
    nothing = Capabilities(tuple(Refusal(control, "", "not here") for control in CONTROLS))
    _, value = settings(name)[0]
    before = Controls(**{name: value})
    assert reduce(before, Set(name, getattr(Controls(), name)), nothing) == Controls()


def test_a_loop_that_is_not_ours_steers_gradients_and_the_rate() -> None:
    capabilities = in_any_loop()
    usable = {name for name in CONTROLS if not capabilities.why_not(name)}
    assert usable == {
        *("skip_non_finite", "freeze", "detect", "accumulate", "centralize", "normalize", "clip", "noise"),
        "lr_scale",
    }
    for name in usable:
        for word, value in settings(name):
            runs_in_the_step = value is None or name in (
                "skip_non_finite",
                "freeze",
                "accumulate",
                "lr_scale",
            )
            assert (not capabilities.why_not(name, word)) == (
                runs_in_the_step or isinstance(value, GradTransform)
            )
    with pytest.raises(ConfigError, match=f"pause: {NEEDS_OWN_LOOP}"):
        reduce(Controls(), Pause(), capabilities)


def test_a_variant_is_refused_by_its_word_and_a_command_by_its_name() -> None:
    capabilities = EVERYTHING.without(
        Refusal("clip", "agc", "not here"), Refusal("reinit", "hh-identity", "no"), Refusal("pause", "", "no")
    )
    assert reduce(Controls(), Set("clip", "norm:1"), capabilities).clip is not None
    with pytest.raises(ConfigError, match="clip=agc: not here"):
        reduce(Controls(), Set("clip", "agc"), capabilities)
    assert reduce(Controls(), Reinit("he"), capabilities) == Controls()
    with pytest.raises(ConfigError, match="reinit=hh-identity: no"):
        reduce(Controls(), Reinit("hh-identity"), capabilities)
    with pytest.raises(ConfigError, match="pause: no"):
        reduce(Controls(), Pause(), capabilities)
    assert reduce(Controls(), COMMANDS["stop"](), capabilities) == Controls()  # type: ignore[call-arg]


def test_a_model_without_parts_has_none_to_change() -> None:
    plain = capabilities_of(nn.Linear(2, 2))
    for name in ("activation", "skip", "layer_norm", "omega"):
        assert plain.why_not(name)
    assert plain.why_not("reinit", "hh-identity")
    assert not plain.why_not("reinit")
    assert not plain.why_not("clip", "agc")
    sparse = capabilities_of(nn.Sequential(nn.Embedding(4, 2, sparse=True), nn.Linear(2, 2)))
    assert "Embedding(sparse=False)" in sparse.why_not("clip", "agc")
    assert not sparse.why_not("clip", "norm")


def test_what_needs_dense_gradients_is_what_the_classes_say() -> None:
    refused = {(refusal.subject, refusal.word) for refusal in without_dense()}
    for name, control in CONTROLS.items():
        if isinstance(control, OneOf):
            for variant in control.variants.values():
                assert ((name, variant.word) in refused) == getattr(variant.type, "needs_dense", False)


def test_a_field_for_each_control() -> None:
    assert {field.name for field in dataclasses.fields(Controls)} == {*CONTROLS, "paused"}
