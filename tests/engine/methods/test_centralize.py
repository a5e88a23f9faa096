from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from tests.engine.methods.material import apply_, copies, gradients, is_bit_equal
from torch import Tensor

from vgrad.methods.centralize import CentralizeGrads


@given(gradients())
def test_it_equals_the_paper(tensors: list[Tensor]) -> None:
    before = copies(tensors)
    apply_(CentralizeGrads(), tensors)
    for now, was in zip(tensors, before, strict=True):
        if was.dim() < 2:
            assert is_bit_equal([now], [was])
            continue
        wide = was.double().numpy()
        expected = np.stack([unit - unit.mean() if unit.size else unit for unit in wide])
        # The mean is rounded to the dtype, and so is the difference.
        tolerance = 2 * torch.finfo(was.dtype).eps * (np.abs(wide).max() if wide.size else 0)
        np.testing.assert_allclose(now.double().numpy(), expected, rtol=0, atol=tolerance + 1e-7)


@given(gradients([torch.float64]))
def test_every_unit_sums_to_zero_and_twice_equals_once(tensors: list[Tensor]) -> None:
    apply_(CentralizeGrads(), tensors)
    once = copies(tensors)
    for tensor in tensors:
        if tensor.dim() >= 2:
            assert (tensor.flatten(1).sum(1).abs() < 1e-9).all()
    apply_(CentralizeGrads(), tensors)
    torch.testing.assert_close(tensors, once, atol=1e-12, rtol=1e-9)


def test_a_step_stays_on_the_plane_that_the_weights_are_on() -> None:
    """Yong et al., theorem 4.2: the sum of a unit's weights does not change."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5, 7, generator=generator, dtype=torch.float64))
    sums = weight.detach().sum(1)
    optimizer = torch.optim.SGD([weight], lr=0.3, momentum=0.9)
    for _ in range(20):
        weight.grad = torch.randn(5, 7, generator=generator, dtype=torch.float64)
        apply_(CentralizeGrads(), [weight.grad], [weight])
        optimizer.step()
    torch.testing.assert_close(weight.detach().sum(1), sums)


def test_a_unit_with_one_input_stops_learning() -> None:
    tensors = [torch.randn(6, 1), torch.randn(6, 1, 1, 1)]
    apply_(CentralizeGrads(), tensors)
    assert all((tensor == 0).all() for tensor in tensors)


def test_without_a_matrix_there_is_nothing_to_do() -> None:
    tensors = [torch.ones(3), torch.ones(())]
    apply_(CentralizeGrads(), tensors)
    assert [tensor.sum() for tensor in tensors] == [3, 1]
