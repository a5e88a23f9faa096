from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from vgrad.gradients.gathered import MANY
from vgrad.gradients.gradient_reader import GradientReader
from vgrad.gradients.layers import find_layers


def test_a_gradient_that_turns_sparse_or_dense_is_noticed_though_nobody_reads_a_norm() -> None:
    table = nn.Parameter(torch.randn(9, 4))
    reader = GradientReader(find_layers(nn.ParameterList([table])))
    for is_sparse in (False, True, False):
        grad = torch.zeros(9, 4)
        grad[2] = 3.0
        table.grad = grad.to_sparse(1) if is_sparse else grad
        grads = reader.collect({}, will_change=False)
        assert grads is not None
        assert (grads.has_sparse, reader.has_sparse) == (is_sparse, is_sparse)
        assert float(grads.norm()) == pytest.approx(6.0)


def test_gradients_of_another_shape_than_before_are_read_right() -> None:
    params = [nn.Parameter(torch.ones(4)) for _ in range(2 * MANY)]
    reader = GradientReader(find_layers(nn.ParameterList(params)))
    for size in (4, 9, 1):
        for param in params:
            param.grad = None
            param.data = torch.ones(size)
            param.grad = torch.full((size,), 2.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that it has resized a buffer
            grads = reader.measured(lambda found: found.norms_on_host(), {}, will_change=False)
        assert grads is not None
        assert grads.norms().tolist() == pytest.approx([2.0 * size**0.5] * len(params))
