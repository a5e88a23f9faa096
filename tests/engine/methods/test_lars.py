from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.methods.material import apply_, copies, gradients, is_bit_equal, weights_like
from torch import Tensor, nn

from vgrad.methods.lars import LARS

SEEDS = st.integers(0, 2**31)


@given(gradients(), SEEDS, st.sampled_from([0.0, 0.01, 1.0]), st.floats(1e-3, 1.0), st.floats(0.0, 10.0))
def test_it_equals_the_paper(
    tensors: list[Tensor], seed: int, scale: float, trust: float, weight_decay: float
) -> None:
    params = weights_like(tensors, seed=seed, scale=scale)
    before = copies(tensors)
    apply_(LARS(trust, weight_decay), tensors, params)
    for now, was, param in zip(tensors, before, params, strict=True):
        grad, weight = float(was.double().norm()), float(param.detach().double().norm())
        if grad == 0 or weight == 0:
            assert is_bit_equal([now], [was])
            continue
        expected = was.double() * (trust * weight / (grad + weight_decay * weight))
        eps = torch.finfo(now.dtype).eps
        torch.testing.assert_close(now.double(), expected, rtol=4 * eps + 1e-6, atol=1e-7)


@given(gradients([torch.float64], [(7,), (3, 5)]), SEEDS, st.floats(1e-6, 1e6))
def test_the_scale_of_a_gradient_does_not_matter(tensors: list[Tensor], seed: int, scale: float) -> None:
    params = weights_like(tensors, seed=seed)
    scaled = [scale * tensor for tensor in tensors]
    has_gradient = [bool(tensor.any()) for tensor in tensors]
    apply_(LARS(), tensors, params)
    apply_(LARS(), scaled, params)
    for one, other, weight, moves in zip(tensors, scaled, params, has_gradient, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
        length = 0.001 * float(weight.detach().norm()) if moves else 0.0
        assert float(one.norm()) == pytest.approx(length)


def test_it_lengthens_a_gradient_that_has_all_but_vanished_in_half_precision_too() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        tensors = [torch.full((16,), 2.0**-23, dtype=dtype)]
        apply_(LARS(trust=0.5), tensors, [nn.Parameter(torch.ones(16, dtype=dtype))])
        torch.testing.assert_close(tensors[0], torch.full((16,), 0.5, dtype=dtype))


def test_what_is_not_finite_spoils_its_own_tensor_only() -> None:
    tensors = [torch.tensor([1.0, math.nan]), torch.tensor([1.0, math.inf]), torch.tensor([3.0, 4.0])]
    apply_(LARS(trust=1.0), tensors, [nn.Parameter(torch.tensor([3.0, 4.0])) for _ in tensors])
    torch.testing.assert_close(
        tensors,
        [torch.tensor([1.0, math.nan]), torch.tensor([0.0, math.nan]), torch.tensor([3.0, 4.0])],
        equal_nan=True,
    )
