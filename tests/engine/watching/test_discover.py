"""The modules that an optimizer trains are found: the outermost, as few as possible."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vgrad.watching.discover import find_model_of_this_thread, find_models
from vgrad.watching.loose_tensors import module_of


class Pair(nn.Module):
    """Two networks in one module, as a GAN may be written."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
        self.discriminator = nn.Linear(2, 1)


def test_the_whole_model_of_a_plain_loop() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    assert find_models(model.parameters()) == (model,)


def test_the_whole_model_though_only_a_part_of_it_is_trained() -> None:
    pair = Pair()
    assert find_models(pair.generator.parameters()) == (pair,)
    assert find_models([pair.discriminator.weight]) == (pair,)


def test_the_wrapper_around_a_model() -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    wrapper = torch.compile(model, backend="eager")
    assert find_models(model.parameters()) == (wrapper,)


def test_several_where_none_holds_all() -> None:
    encoder, decoder = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)), nn.Linear(3, 2)
    params = [*encoder.parameters(), *decoder.parameters()]
    assert find_models(params) == (encoder, decoder)


def test_a_copy_is_another_model() -> None:
    model = Pair()
    copied = copy.deepcopy(model)
    assert find_models(copied.parameters()) == (copied,)


def test_frozen_parameters_beside_the_trained_ones_belong_to_the_model() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    assert find_models([model[0].weight, *model[1].parameters()]) == (model,)


def test_tensors_that_are_in_no_module() -> None:
    assert find_models([torch.zeros(3, requires_grad=True)]) == ()


def test_a_module_that_holds_itself_is_looked_at_once() -> None:
    class Knot(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)
            self._modules["knot"] = self

    knot = Knot()
    outside = nn.Parameter(torch.zeros(1))
    knot.register_parameter("scale", outside)
    assert find_models([outside, *knot.linear.parameters()]) == (knot,)


def test_objects_that_lie_about_their_class_are_not_asked() -> None:
    class Liar:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise pytest.fail("somebody's code was run")

    liars = [Liar() for _ in range(3)]
    model = nn.Linear(2, 2)
    assert find_models(model.parameters()) == (model,)
    assert len(liars) == 3


# Pytest writes a call of `locals` into each function that asserts: before Python 3.13 it is left out.


def find_what_is_held(
    hold: Callable[[nn.Module], object],
) -> tuple[nn.Module | None, list[nn.Parameter], object]:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    params, held = list(model.parameters()), hold(model)
    outermost = nn.ModuleDict({"model": model}) if held is model else None
    del model
    return find_model_of_this_thread(params), params, outermost or held


@pytest.mark.parametrize(
    "hold", [lambda m: m, lambda m: [m], lambda m: {"m": m}, lambda m: SimpleNamespace(m=m)]
)
def test_a_model_that_a_variable_holds_is_found_by_the_frames_of_the_thread(
    hold: Callable[[nn.Module], object],
) -> None:
    found, params, held = find_what_is_held(hold)
    assert found is not None
    assert found is held or not isinstance(held, nn.Module)
    assert set(map(id, found.parameters())) == set(map(id, params))


def look_and_drop() -> tuple[object, weakref.ref[nn.Module]]:
    model = nn.Linear(3, 4)
    found = find_model_of_this_thread(model.parameters()) is model
    ref = weakref.ref(model)
    del model
    gc.collect()
    return found, ref


def test_looking_through_variables_keeps_nothing_that_they_held() -> None:
    found, ref = look_and_drop()
    assert found and ref() is None


def test_no_model_is_found_where_no_variable_names_one() -> None:
    assert find_model_of_this_thread([torch.zeros(3, requires_grad=True)]) is None


def test_looking_through_variables_leaves_the_dict_of_locals_as_it_is() -> None:
    def settings(lr: float, steps: int) -> dict[str, object]:
        found = locals()
        model = nn.Linear(3, 4)
        find_model_of_this_thread(model.parameters())
        module_of([torch.zeros(2, requires_grad=True), *model.parameters()])
        return found

    assert settings(0.1, 5) == {"lr": 0.1, "steps": 5}


def name_and_drop() -> tuple[list[str], bool]:
    weight, other = torch.zeros(2, requires_grad=True), nn.Linear(2, 2)
    names = list(dict(module_of([weight]).named_parameters()))
    ref = weakref.ref(other)
    del other
    gc.collect()
    return names, ref() is None


def test_naming_tensors_by_variables_keeps_nothing_that_they_held() -> None:
    assert name_and_drop() == (["weight"], True)
