from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.toys import toy_batch, toy_model
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.methods.sam import SAM, sam_backward

rhos = st.floats(1e-3, 2.0)
seeds = st.integers(0, 2**31)


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


class Pass:
    """A loss on the toy model that keeps a copy of the weights of every call."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> None:
        self.model = toy_model(dtype=dtype)
        self.params = list(self.model.parameters())
        rows = torch.randn(9, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.batch = toy_batch(rows.to(dtype))
        self.scale = scale
        self.seen: list[list[Tensor]] = []

    def loss(self) -> Tensor:
        self.seen.append([param.detach().clone() for param in self.params])
        return self.scale * nn.functional.mse_loss(self.model(self.batch.inputs), self.batch.targets)

    def grads(self) -> list[Tensor]:
        return [param.grad for param in self.params if param.grad is not None]


@given(seeds, rhos)
def test_the_step_is_rho_long_and_points_uphill(seed: int, rho: float) -> None:
    run = Pass(seed)
    gradient = flat(list(torch.autograd.grad(run.loss(), run.params)))
    run.seen.clear()
    sam_backward(run.loss, run.params, rho=rho)
    before, beyond = run.seen
    e = flat(beyond) - flat(before)
    assert float(e.norm()) == pytest.approx(rho, rel=1e-9)
    torch.testing.assert_close(e, rho * gradient / gradient.norm(), rtol=1e-8, atol=1e-13)


@given(seeds, rhos)
def test_the_gradient_is_that_at_the_shifted_weights(seed: int, rho: float) -> None:
    run = Pass(seed)
    loss = sam_backward(run.loss, run.params, rho=rho)
    there = copy.deepcopy(run)
    with torch.no_grad():
        for param, weights in zip(there.params, run.seen[1], strict=True):
            param.copy_(weights)
    expected = torch.autograd.grad(there.loss(), there.params)
    assert all(torch.equal(a, b) for a, b in zip(run.grads(), expected, strict=True))
    assert torch.equal(loss, run.loss())
    assert not loss.requires_grad


@given(seeds, rhos, st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_weights_come_back_to_the_bit(seed: int, rho: float, dtype: torch.dtype) -> None:
    run = Pass(seed, dtype)
    before = [param.detach().clone() for param in run.params]
    sam_backward(run.loss, run.params, rho=rho)
    assert all(torch.equal(a, b) for a, b in zip(run.params, before, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(run.seen[1], before, strict=True))


def test_weights_come_back_when_the_second_pass_raises() -> None:
    run = Pass()
    before = [param.detach().clone() for param in run.params]

    def loss() -> Tensor:
        value = run.loss()
        if len(run.seen) == 2:
            raise ZeroDivisionError("made to fail")
        return value

    with pytest.raises(ZeroDivisionError):
        sam_backward(loss, run.params)
    assert all(torch.equal(a, b) for a, b in zip(run.params, before, strict=True))
    assert not run.grads()


def test_a_zero_gradient_shifts_nothing() -> None:
    run = Pass(scale=0.0)
    sam_backward(run.loss, run.params, rho=1.0)
    assert all(torch.equal(a, b) for a, b in zip(*run.seen, strict=True))
    assert all(not grad.any() for grad in run.grads())


@pytest.mark.parametrize("scale", [1e-42, 1e-38, 1e-30, 1e-22, 1e-18, 1e20, 1e36])
def test_vanishing_and_huge_gradients_shift_as_far(scale: float) -> None:
    run = Pass(dtype=torch.float32, scale=scale)
    sam_backward(run.loss, run.params, rho=0.05)
    before, beyond = run.seen
    # 1e-42 is below float32's normal numbers: few of its digits are left, but the length holds.
    assert float((flat(beyond) - flat(before)).norm()) == pytest.approx(0.05, rel=1e-4)


def test_gradients_of_several_dtypes_shift_together() -> None:
    params = [nn.Parameter(torch.ones(4, dtype=d)) for d in (torch.float16, torch.float32, torch.float64)]
    seen: list[list[Tensor]] = []

    def loss() -> Tensor:
        seen.append([param.detach().clone() for param in params])
        return torch.stack([(3e4 * param.float()).sum() for param in params]).sum()

    sam_backward(loss, params, rho=0.5)
    assert float((flat(seen[1]) - flat(seen[0])).norm()) == pytest.approx(0.5, rel=1e-3)


def test_a_gradient_that_is_not_finite_comes_out_as_such_and_leaves_the_weights() -> None:
    run = Pass(scale=math.inf)
    before = [param.detach().clone() for param in run.params]
    sam_backward(run.loss, run.params)
    assert all(grad.isnan().any() for grad in run.grads())
    assert all(torch.equal(a, b) for a, b in zip(run.params, before, strict=True))


def test_a_loss_scale_drops_out_of_the_shift() -> None:
    plain, scaled = Pass(), Pass(scale=1024.0)
    sam_backward(plain.loss, plain.params)
    sam_backward(scaled.loss, scaled.params)
    for one, two in zip(plain.grads(), scaled.grads(), strict=True):
        torch.testing.assert_close(1024 * one, two, rtol=1e-12, atol=1e-12)


def test_it_adds_to_what_is_there_as_backward_does() -> None:
    run = Pass()
    sam_backward(run.loss, run.params)
    once = [grad.clone() for grad in run.grads()]
    sam_backward(run.loss, run.params)
    assert all(torch.equal(grad, 2 * was) for grad, was in zip(run.grads(), once, strict=True))


def test_parameters_that_the_loss_does_not_need_stay_out() -> None:
    run = Pass()
    idle = nn.Parameter(torch.ones(3))
    sam_backward(run.loss, [idle, *run.params])
    assert idle.grad is None
    assert torch.equal(idle, torch.ones(3))


def test_empty_and_0d_parameters_take_part() -> None:
    empty, scalar = nn.Parameter(torch.ones(0, 3)), nn.Parameter(torch.tensor(2.0))
    seen = []

    def loss() -> Tensor:
        seen.append(scalar.item())
        return scalar.square() + empty.sum()

    sam_backward(loss, [empty, scalar], rho=0.5)
    assert seen == [2.0, 2.5]
    assert scalar.grad is not None and scalar.grad.item() == 5.0 and scalar.item() == 2.0


@pytest.mark.parametrize("rho", [0, -0.05, math.nan, math.inf, "0.05"])
def test_a_radius_that_makes_no_sense(rho: float) -> None:
    with pytest.raises(ConfigError, match="rho must be"):
        SAM(rho)
