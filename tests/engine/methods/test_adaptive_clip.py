"""AGC, ZClip and AutoClip against their papers, written out in plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.engine.methods.material import (
    Steps,
    apply_,
    copies,
    gradients,
    is_bit_equal,
    joint_norm,
    weights_like,
)
from tests.engine.toys import grads_of
from torch import Tensor, nn

from vgrad.gradients.grads import Grads
from vgrad.gradients.layers import find_layers
from vgrad.gradients.norms import NormPlan
from vgrad.methods.adaptive_clip import AGC, AutoClip, ZClip
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.transform import GradTransform

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**31)
# Steps to run: norms over many orders of magnitude, calm or wild.
NORMS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60)


def direction(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.tensor([0.6, 0.0], dtype=dtype), torch.tensor(-0.8, dtype=dtype)]


def norms_after(transform: GradTransform, norms: list[float]) -> list[float]:
    """The joint norm that each step is left with, for steps that come with ``norms``."""
    steps, after = Steps(transform), []
    for norm in norms:
        tensors = [norm * tensor for tensor in direction()]
        steps.apply_(grads_of(tensors))
        after.append(joint_norm(tensors))
    return after


# AGC


def agc_reference(grad: Array, weight: Array, clipping: float, eps: float) -> Array:
    """Equation 3, one unit after another."""
    if sum(size > 1 for size in grad.shape) <= 1:
        units = [np.s_[...]]
    else:
        units = [np.s_[index] for index in range(grad.shape[0])]
    out = grad.copy()
    for unit in units:
        limit = clipping * max(float(np.sqrt((weight[unit] ** 2).sum())), eps)
        norm = float(np.sqrt((grad[unit] ** 2).sum()))
        if norm > limit:
            out[unit] = grad[unit] * limit / norm
    return out


@given(gradients(), SEEDS, st.sampled_from([0.0, 1e-6, 1.0, 100.0]), st.floats(1e-3, 10.0))
def test_agc_equals_the_paper(tensors: list[Tensor], seed: int, scale: float, clipping: float) -> None:
    params = weights_like(tensors, seed=seed, scale=scale)
    before = copies(tensors)
    apply_(AGC(clipping), tensors, params)
    for now, was, param in zip(tensors, before, params, strict=True):
        expected = agc_reference(was.double().numpy(), param.detach().double().numpy(), clipping, 1e-3)
        eps = torch.finfo(now.dtype).eps
        torch.testing.assert_close(now.double(), torch.from_numpy(expected), rtol=8 * eps + 1e-6, atol=1e-7)


@given(gradients([torch.float32, torch.float64]), SEEDS)
def test_agc_twice_equals_once_and_leaves_short_units_to_the_bit(tensors: list[Tensor], seed: int) -> None:
    params = weights_like(tensors, seed=seed)
    apply_(AGC(), tensors, params)
    once = copies(tensors)
    apply_(AGC(), tensors, params)
    for now, was in zip(tensors, once, strict=True):
        torch.testing.assert_close(now, was, rtol=1e-5, atol=0)
    apply_(AGC(clipping=1e6), tensors, params)
    apply_(AGC(clipping=1e6), once, params)
    for now, was in zip(tensors, once, strict=True):
        torch.testing.assert_close(now, was, rtol=1e-5, atol=0)
    tiny = [1e-9 * tensor for tensor in once]
    kept = copies(tiny)
    apply_(AGC(), tiny, params)
    assert is_bit_equal(tiny, kept)


def agc_on(model: nn.Module) -> dict[str, bool]:
    """Which parameters AGC shortened, of a model whose gradients are all too long."""
    layers = find_layers(model)
    tensors = [torch.full_like(param, 100.0) for param in layers.params]
    grads = Grads(
        tensors,
        NormPlan(tensors),
        params=layers.params,
        names=layers.param_names,
        last_linear=layers.last_linear,
    )
    with torch.no_grad():
        AGC().apply_(grads, None, step=1)
    return {
        name: bool((tensor != 100).any()) for name, tensor in zip(layers.param_names, tensors, strict=True)
    }


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.inner = nn.Linear(4, 4)
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embed.weight


def test_agc_leaves_the_last_linear_layer_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    assert agc_on(model) == {
        "0.weight": True,
        "0.bias": True,
        "1.weight": True,
        "1.bias": True,
        "2.weight": False,
        "2.bias": False,
    }


def test_agc_leaves_an_embedding_alone_that_is_tied_to_the_head() -> None:
    assert agc_on(Tied()) == {
        "embed.weight": False,
        "inner.weight": True,
        "inner.bias": True,
        "head.bias": False,
    }


def test_agc_lets_weights_that_are_zero_grow() -> None:
    tensors = [torch.tensor([[3.0, 4.0], [0.0, 0.0]])]
    apply_(AGC(clipping=0.5, eps=0.1), tensors)
    torch.testing.assert_close(tensors[0], torch.tensor([[0.03, 0.04], [0.0, 0.0]]))


def test_agc_keeps_what_is_not_finite_to_its_own_unit() -> None:
    tensors = [torch.tensor([[3.0, math.nan], [3.0, math.inf], [3.0, 4.0]])]
    apply_(AGC(clipping=1.0), tensors, [nn.Parameter(torch.eye(3)[:, :2] + 0.0)])
    assert tensors[0][0, 0] == 3.0 and tensors[0][0, 1].isnan()
    assert tensors[0][1, 0] == 0.0 and tensors[0][1, 1].isnan()
    torch.testing.assert_close(tensors[0][2], torch.tensor([0.6e-3, 0.8e-3]))


def test_agc_does_not_lose_gradients_too_large_for_a_norm_in_single_precision() -> None:
    tensors = [torch.full((2, 4), 3e20), torch.full((4,), 3e20)]
    apply_(AGC(clipping=1.0), tensors, [nn.Parameter(torch.ones(2, 4)), nn.Parameter(torch.ones(4))])
    torch.testing.assert_close(tensors, [torch.ones(2, 4), torch.ones(4)])


# ZClip


def zclip_reference(
    norms: list[float], *, z_limit: float, alpha: float, warmup_steps: int, max_norm: float
) -> list[float]:
    """What each step is cut to: the paper's algorithm with the authors' warm-up and cap."""
    seen: list[float] = []
    mean = var = math.nan
    out = []
    for norm in norms:
        target = norm
        if len(seen) < warmup_steps:
            seen.append(norm)
            mean, var = float(np.mean(seen)), float(np.var(seen))
        else:
            std = math.sqrt(var)
            z = (norm - mean) / (std + 1e-6)
            if z > z_limit:
                target = mean + (z_limit * std) / (z / z_limit)
            mean = alpha * mean + (1 - alpha) * target
            var = alpha * var + (1 - alpha) * (target - mean) ** 2
        out.append(min(target, norm, max_norm))
    return out


@given(
    NORMS,
    st.floats(0.5, 4.0),
    st.floats(0.0, 1.0),
    st.integers(1, 30),
    st.sampled_from([1e-3, 1.0, 1e9]),
)
def test_zclip_equals_the_paper(
    norms: list[float], z: float, alpha: float, warmup_steps: int, max_norm: float
) -> None:
    expected = zclip_reference(norms, z_limit=z, alpha=alpha, warmup_steps=warmup_steps, max_norm=max_norm)
    after = norms_after(ZClip(z, alpha, warmup_steps, max_norm), norms)
    assert after == pytest.approx(expected, rel=1e-5, abs=1e-9)


def calm(num: int, seed: int = 0) -> list[float]:
    return (0.5 + 0.01 * np.random.default_rng(seed).standard_normal(num)).tolist()


def test_zclip_cuts_the_rare_spike_and_little_else() -> None:
    norms = calm(300)
    norms[200] = 50.0
    after = norms_after(ZClip(max_norm=1e9), norms)
    assert after[200] < 0.6
    untouched = sum(now == pytest.approx(was, rel=1e-9) for now, was in zip(after, norms, strict=True))
    assert untouched > 0.9 * len(norms)


def test_while_zclip_warms_up_only_the_cap_acts() -> None:
    norms = [0.5] * 10 + [50.0] + [0.5] * 14
    assert norms_after(ZClip(), norms) == pytest.approx([min(norm, 1.0) for norm in norms])
    assert norms_after(ZClip(max_norm=1e9), norms) == pytest.approx(norms)


@given(NORMS, st.floats(1e-3, 1e3))
def test_no_norm_passes_the_cap(norms: list[float], max_norm: float) -> None:
    assert max(norms_after(ZClip(max_norm=max_norm, warmup_steps=5), norms)) <= max_norm * (1 + 1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [3, 40])
def test_a_norm_that_is_not_finite_teaches_zclip_nothing(bad: float, at: int) -> None:
    norms = calm(80)
    clean = norms_after(ZClip(), norms)
    after = norms_after(ZClip(), [*norms[:at], bad, *norms[at:]])
    assert not math.isfinite(after.pop(at))
    assert after == clean


def test_a_changed_threshold_keeps_what_zclip_has_learned() -> None:
    steps = Steps(ZClip(max_norm=1e9))
    for norm in calm(40):
        steps.apply_(grads_of([norm * tensor for tensor in direction()]))
    tensors = [50.0 * tensor for tensor in direction()]
    with torch.no_grad():
        ZClip(z=3.0, max_norm=1e9).apply_(grads_of(tensors), steps.memory, step=41)
    assert joint_norm(tensors) < 0.6


# AutoClip


@given(NORMS, st.floats(0.0, 100.0))
def test_autoclip_cuts_at_the_percentile_of_all_norms_so_far(norms: list[float], percentile: float) -> None:
    after = norms_after(AutoClip(percentile), norms)
    for step, (norm, now) in enumerate(zip(norms, after, strict=True), start=1):
        exact = min(norm, float(np.percentile(norms[:step], percentile)))
        # Norms are counted in bins of a ratio of 2**(1/64), whose upper edge stands for all in it.
        assert exact * (1 - 1e-9) <= now <= min(norm, exact * 2 ** (1 / 64)) * (1 + 1e-9)


def test_autoclip_remembers_the_whole_run_in_bounded_memory() -> None:
    steps = Steps(AutoClip(10.0))
    generator = np.random.default_rng(0)
    norms = np.exp(generator.standard_normal(1500))
    sizes = set()
    for norm in norms:
        tensors = [float(norm) * tensor for tensor in direction()]
        steps.apply_(grads_of(tensors))
        sizes.add(steps.memory.numel() * steps.memory.element_size())
    assert sizes == {65_536}
    assert int(steps.memory.sum()) == 1500
    tensors = [1000.0 * tensor for tensor in direction()]
    steps.apply_(grads_of(tensors))
    assert joint_norm(tensors) == pytest.approx(np.percentile([*norms, 1000.0], 10), rel=0.011)


def test_autoclip_cuts_nothing_while_all_norms_are_alike() -> None:
    for norm in (1e-9, 0.3, 1e9):
        assert norms_after(AutoClip(), [norm] * 5) == pytest.approx([norm] * 5, rel=1e-12)


def test_autoclip_counts_what_is_out_of_its_range_at_its_edges() -> None:
    assert norms_after(AutoClip(), [0.0, 0.0]) == [0.0, 0.0]
    assert norms_after(AutoClip(), [1e25]) == pytest.approx([2.0**64])
    assert norms_after(AutoClip(0.0), [0.0, 1.0])[1] == pytest.approx(2.0**-64, rel=0.011)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_autoclip_counts_no_norm_that_is_not_finite(bad: float) -> None:
    norms = calm(30)
    clean = norms_after(AutoClip(), norms)
    for at in (0, 12):
        after = norms_after(AutoClip(), [*norms[:at], bad, *norms[at:]])
        assert not math.isfinite(after.pop(at))
        assert after == clean


@pytest.mark.parametrize("transform", [ZClip(warmup_steps=1), AutoClip()])
def test_one_inf_comes_out_as_it_does_from_clipping_by_norm(transform: GradTransform) -> None:
    steps = Steps(transform)
    for _ in range(3):
        steps.apply_(grads_of([torch.ones(3), torch.ones(4)]))
    ours, theirs = [[torch.tensor([1.0, math.inf, -3.0]), torch.ones(4)] for _ in range(2)]
    steps.apply_(grads_of(ours))
    apply_(ClipGradNorm(1.0), theirs)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
