from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.methods.deep_supervision import DeepSupervision, supervised_backward

seeds = st.integers(0, 2**31)
values = st.builds(DeepSupervision, st.floats(0.0, 1.0), st.floats(0.0, 1.0))


class Deep(nn.Module):
    """Three hidden layers, each of which predicts through the one head."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

        self.layers = nn.ParameterList(weights(5, 5) for _ in range(3))
        self.head = weights(5, 2)
        self.inputs, self.targets = weights(7, 5).detach(), weights(7, 2).detach()
        self.seen: list[Tensor] = []

    def layer_outputs(self) -> list[Tensor]:
        self.seen = [param.detach().clone() for param in self.parameters()]
        outputs, x = [], self.inputs
        for weight in self.layers:
            x = torch.tanh(x @ weight)
            outputs.append(x @ self.head)
        return outputs


def backward(model: Deep, value: DeepSupervision, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return supervised_backward(
        model.layer_outputs, F.mse_loss, model.targets, list(model.parameters()), value, generator
    )


def weights_of(model: nn.Module) -> list[Tensor]:
    return [param.detach().clone() for param in model.parameters()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@given(seeds, values)
def test_the_gradient_of_the_sum_is_the_sum_of_the_gradients(seed: int, value: DeepSupervision) -> None:
    model = Deep(seed)
    loss = backward(model, value, seed)
    there = copy.deepcopy(model)
    with torch.no_grad():
        for param, weights in zip(there.parameters(), model.seen, strict=True):
            param.copy_(weights)
    params = list(there.parameters())
    each = [F.mse_loss(output, there.targets) for output in there.layer_outputs()]
    expected = [torch.zeros_like(param) for param in params]
    for one in each:
        grads = torch.autograd.grad(one, params, retain_graph=True, allow_unused=True)
        expected = [e if g is None else e + g for e, g in zip(expected, grads, strict=True)]
    for param, grad in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(param.grad, grad, rtol=1e-10, atol=1e-12)
    assert torch.equal(loss, each[-1].detach())
    assert not loss.requires_grad


@given(seeds, values)
def test_weights_come_back_to_the_bit(seed: int, value: DeepSupervision) -> None:
    model = Deep(seed)
    before, rng = weights_of(model), torch.get_rng_state()
    backward(model, value, seed)
    assert same(weights_of(model), before)
    assert torch.equal(torch.get_rng_state(), rng)


def test_weights_come_back_when_the_pass_raises() -> None:
    model = Deep()
    before = weights_of(model)

    def fail() -> list[Tensor]:
        model.layer_outputs()
        raise ZeroDivisionError("made to fail")

    params, generator = list(model.parameters()), torch.Generator()
    with pytest.raises(ZeroDivisionError):
        supervised_backward(fail, F.mse_loss, model.targets, params, DeepSupervision(), generator)
    assert not same(model.seen, before)
    assert same(weights_of(model), before)


def test_the_perturbation_is_normal_and_hits_as_many_as_it_should() -> None:
    weights = nn.Parameter(torch.zeros(100_000))
    seen: list[Tensor] = []

    def outputs() -> list[Tensor]:
        seen.append(weights.detach().clone())
        return [weights.sum()]

    generator = torch.Generator().manual_seed(0)
    value = DeepSupervision(sigma=0.02, probability=0.3)
    supervised_backward(outputs, lambda output, _: output, weights, [weights], value, generator)
    (moved,) = seen
    hit = moved[moved != 0]
    # Of 100,000 draws: a standard error of .0014 for the share, .3 % for the spread.
    assert len(hit) / len(moved) == pytest.approx(0.3, abs=0.006)
    assert hit.std().item() == pytest.approx(0.02, rel=0.015)
    assert hit.mean().item() == pytest.approx(0.0, abs=5e-4)
    assert (hit.abs() < 0.02).double().mean().item() == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.012)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_entries_outside_the_mask_are_equal_to_the_bit(zero: float) -> None:
    weights = nn.Parameter(torch.full((64,), zero))
    seen: list[Tensor] = []

    def outputs() -> list[Tensor]:
        seen.append(weights.detach().clone())
        return [weights.sum()]

    none = DeepSupervision(sigma=1.0, probability=0.0)
    supervised_backward(outputs, lambda output, _: output, weights, [weights], none, torch.Generator())
    assert torch.equal(seen[0].view(torch.int32), weights.detach().view(torch.int32))


def test_the_same_generator_gives_the_same_perturbation_and_then_another() -> None:
    model, value = Deep(), DeepSupervision(sigma=0.1, probability=0.5)
    generator = torch.Generator().manual_seed(3)
    seen = []
    for source in (torch.Generator().manual_seed(3), generator, generator):
        params = list(model.parameters())
        supervised_backward(model.layer_outputs, F.mse_loss, model.targets, params, value, source)
        seen.append(model.seen)
    assert same(seen[0], seen[1])
    assert not same(seen[1], seen[2])


def test_without_a_perturbation_the_generator_is_left_alone() -> None:
    model, generator = Deep(), torch.Generator().manual_seed(3)
    state = generator.get_state()
    value = DeepSupervision(sigma=0.0)
    supervised_backward(
        model.layer_outputs, F.mse_loss, model.targets, list(model.parameters()), value, generator
    )
    assert torch.equal(generator.get_state(), state)
    assert same(model.seen, weights_of(model))


def test_a_first_layer_that_gets_nothing_from_the_last_loss_gets_something_from_its_own() -> None:
    plain, supervised = Deep(), Deep()
    for model in (plain, supervised):
        with torch.no_grad():
            model.layers[2].zero_()  # the last loss does not reach below
    F.mse_loss(plain.layer_outputs()[-1], plain.targets).backward()
    backward(supervised, DeepSupervision(sigma=0.0))
    assert plain.layers[0].grad is not None and not plain.layers[0].grad.any()
    assert supervised.layers[0].grad is not None and supervised.layers[0].grad.any()


def test_no_prediction_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one layer"):
        supervised_backward(list, F.mse_loss, torch.ones(1), [], DeepSupervision(), torch.Generator())


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"sigma": -0.1}, "sigma must be from 0 to "),
        ({"sigma": math.nan}, "sigma must be"),
        ({"probability": 1.1}, "probability must be from 0 to 1"),
        ({"probability": True}, "probability must be a number"),
    ],
)
def test_settings_that_make_no_sense(given_values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DeepSupervision(**given_values)
