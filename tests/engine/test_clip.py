from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vgrad.grads import Grads, NormPlan
from vgrad.transforms.clip import Clip, ClipGradNorm, ClipGradValue

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (0,), (130, 130)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]

# How far a result may be from torch's: both round each entry once to the dtype, and torch rounds the
# norm of half-precision gradients to it as well.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}

limits = st.floats(min_value=1e-3, max_value=1e3)


@st.composite
def gradients(draw: st.DrawFn, dtypes: list[torch.dtype] = DTYPES) -> list[Tensor]:
    """Tensors of one dtype, of any shapes and of any scale that half precision holds."""
    dtype = draw(st.sampled_from(dtypes))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=6))
    scale = 10.0 ** draw(st.integers(-3, 2))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return [(scale * torch.randn(shape, generator=generator)).to(dtype) for shape in shapes]


def copies(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors]


def clip_(clip: Clip, tensors: list[Tensor]) -> Grads:
    grads = Grads(tensors, NormPlan(tensors))
    clip.apply_(grads, step=1)
    return grads


def as_params(tensors: list[Tensor]) -> list[nn.Parameter]:
    params = [nn.Parameter(torch.zeros_like(tensor)) for tensor in tensors]
    for param, tensor in zip(params, tensors, strict=True):
        param.grad = tensor.clone()
    return params


def joint_norm(tensors: list[Tensor]) -> float:
    return float(torch.cat([tensor.double().flatten() for tensor in tensors]).norm())


def assert_same(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=1e-7, equal_nan=True)


@given(gradients(), limits)
def test_by_norm_equals_torch(tensors: list[Tensor], limit: float) -> None:
    params = as_params(tensors)
    nn.utils.clip_grad_norm_(params, limit)
    clip_(ClipGradNorm(limit), tensors)
    assert_same(tensors, [param.grad for param in params], TOLERANCE[tensors[0].dtype])


@given(gradients(), limits)
def test_by_value_equals_torch_to_the_bit(tensors: list[Tensor], limit: float) -> None:
    params = as_params(tensors)
    nn.utils.clip_grad_value_(params, limit)
    clip_(ClipGradValue(limit), tensors)
    assert_same(tensors, [param.grad for param in params], 0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_non_finite_gradients_come_out_as_from_torch(dtype: torch.dtype, bad: float) -> None:
    tensors = [torch.tensor([1.0, bad, -3.0], dtype=dtype), torch.ones(4, dtype=dtype)]
    for clip, reference in (
        (ClipGradNorm(1.0), nn.utils.clip_grad_norm_),
        (ClipGradValue(1.0), nn.utils.clip_grad_value_),
    ):
        params, ours = as_params(tensors), copies(tensors)
        reference(params, 1.0)
        clip_(clip, ours)
        assert_same(ours, [param.grad for param in params], 0.0)


@given(gradients(), limits)
def test_the_norm_is_at_most_the_limit(tensors: list[Tensor], limit: float) -> None:
    clip_(ClipGradNorm(limit), tensors)
    info = torch.finfo(tensors[0].dtype)
    num_entries = sum(tensor.numel() for tensor in tensors)
    rounded_up = (
        math.sqrt(num_entries) * info.smallest_normal * info.eps
    )  # entries below what the dtype resolves
    # A float32 sum of hundreds of squares is itself off by some units in the last place.
    assert joint_norm(tensors) <= limit * (1 + 8 * info.eps) + rounded_up + 1e-7


@given(gradients(), limits)
def test_no_entry_is_above_the_value(tensors: list[Tensor], limit: float) -> None:
    clip_(ClipGradValue(limit), tensors)
    for tensor in tensors:
        assert (tensor.abs() <= torch.tensor(limit, dtype=tensor.dtype)).all()


@given(gradients())
def test_a_step_below_the_limit_is_untouched(tensors: list[Tensor]) -> None:
    before = copies(tensors)
    above = 1.01 * joint_norm(tensors) + 1e-3
    clip_(ClipGradNorm(above), tensors)
    clip_(ClipGradValue(above), tensors)
    assert all(torch.equal(now, was) for now, was in zip(tensors, before, strict=True))


@given(gradients([torch.float32, torch.float64]), limits)
def test_by_norm_keeps_the_direction(tensors: list[Tensor], limit: float) -> None:
    before = torch.cat([tensor.double().flatten() for tensor in tensors])
    clip_(ClipGradNorm(limit), tensors)
    after = torch.cat([tensor.double().flatten() for tensor in tensors])
    torch.testing.assert_close(after * before.norm(), before * after.norm(), rtol=1e-5, atol=1e-12)


@given(gradients(), limits, st.sampled_from([ClipGradNorm, ClipGradValue]))
def test_twice_equals_once(
    tensors: list[Tensor], limit: float, kind: type[ClipGradNorm | ClipGradValue]
) -> None:
    clip_(kind(limit), tensors)
    once = copies(tensors)
    clip_(kind(limit), tensors)
    # By norm there is the 1e-6 in torch's divisor, and rounding that may leave the norm just above the limit.
    eps = torch.finfo(tensors[0].dtype).eps
    tolerance = 0.0 if kind is ClipGradValue else 2e-6 / limit + 4 * eps
    assert_same(tensors, once, tolerance)


@given(gradients(), limits, st.sampled_from([ClipGradNorm, ClipGradValue]))
def test_the_norm_reported_after_clipping_is_the_true_one(
    tensors: list[Tensor], limit: float, kind: type[ClipGradNorm | ClipGradValue]
) -> None:
    grads = Grads(tensors, NormPlan(tensors))
    grads.norm()
    kind(limit).apply_(grads, step=1)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(tensors[0].dtype, 1e-2)
    assert float(grads.norm()) == pytest.approx(joint_norm(tensors), rel=tolerance, abs=1e-6)
    each = [float(tensor.double().norm()) for tensor in tensors]
    assert grads.norms().tolist() == pytest.approx(each, rel=tolerance, abs=1e-6)


def test_gradients_of_several_dtypes_are_clipped_together() -> None:
    tensors = [
        torch.full((3,), 10.0, dtype=dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64)
    ]
    clip_(ClipGradNorm(1.0), tensors)
    assert joint_norm(tensors) == pytest.approx(1.0, rel=1e-3)
    assert [tensor.dtype for tensor in tensors] == [torch.bfloat16, torch.float32, torch.float64]
