from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.methods.material import apply_, copies, gradients, is_bit_equal
from torch import Tensor

from vgrad.methods.noise import AddGradNoise


@pytest.mark.parametrize(("eta", "gamma"), [(0.01, 0.55), (0.3, 0.55), (1.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("step", [1, 2, 1000])
def test_the_variance_fades_as_the_paper_has_it(eta: float, gamma: float, step: int) -> None:
    tensors = [torch.zeros(200_000), torch.zeros(())]
    apply_(AddGradNoise(eta, gamma), tensors, step=step)
    num_done = step - 1
    expected = math.sqrt(eta / (1 + num_done) ** gamma)
    noise = tensors[0].double()
    # Five standard errors of a mean, of a standard deviation and of a kurtosis.
    assert float(noise.mean()) == pytest.approx(0, abs=5 * expected / math.sqrt(len(noise)))
    assert float(noise.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * len(noise)))
    kurtosis = float((noise / noise.std()).pow(4).mean())
    assert kurtosis == pytest.approx(3, abs=5 * math.sqrt(24 / len(noise))), "it is normal"


@given(gradients(), st.integers(0, 2**31), st.integers(1, 10_000))
def test_the_noise_is_added_whatever_the_gradient_is(tensors: list[Tensor], seed: int, step: int) -> None:
    before = copies(tensors)
    alone = [torch.zeros_like(tensor, dtype=torch.float64) for tensor in tensors]
    transform = AddGradNoise(1.0)
    if tensors[0].dtype is torch.float64:
        apply_(transform, alone, step=step, seed=seed)
    else:  # the same draws, before they are rounded to the gradients' dtype
        single = [tensor.float() for tensor in alone]
        apply_(transform, single, step=step, seed=seed)
        alone = [tensor.double() for tensor in single]
    apply_(transform, tensors, step=step, seed=seed)
    for now, was, noise in zip(tensors, before, alone, strict=True):
        size = was.double().abs() + noise.abs()
        about = torch.finfo(now.dtype)
        allowed = 2 * about.eps * (size + about.tiny)  # below tiny a number has fewer digits
        assert ((now.double() - was.double() - noise).abs() <= allowed).all()


def test_every_tensor_and_every_step_has_its_own_noise() -> None:
    tensors = [torch.zeros(40), torch.zeros(40)]
    apply_(AddGradNoise(), tensors)
    assert len(np.unique(torch.cat(tensors).numpy())) == 80
    again = [torch.zeros(40), torch.zeros(40)]
    apply_(AddGradNoise(), again)
    assert is_bit_equal(again, tensors), "the same seed and step"
