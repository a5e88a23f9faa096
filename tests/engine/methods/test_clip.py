from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.methods.material import (
    DTYPES,
    TOLERANCE,
    apply_,
    assert_same,
    copies,
    gradients,
    joint_norm,
)
from tests.engine.toys import grads_of
from torch import Tensor, nn

from vgrad.methods.clip import ClipEachTensor, ClipGradNorm, ClipGradValue

limits = st.floats(min_value=1e-3, max_value=1e3)

# What `NormPlan.read` promises: a sum of a hundred thousand squares in float32 is not exact to the last bit.
NORM_ERROR = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 1e-5, torch.bfloat16: 1e-5}


def as_params(tensors: list[Tensor]) -> list[nn.Parameter]:
    params = [nn.Parameter(torch.zeros_like(tensor)) for tensor in tensors]
    for param, tensor in zip(params, tensors, strict=True):
        param.grad = tensor.clone()
    return params


def relative_error(tensors: list[Tensor], limit: float) -> float:
    """How far rounding may take the joint norm from ``limit`` when ``tensors`` are clipped to it once.

    The norm that is read is off, the factor is rounded to the gradients' dtype, and so is every product.
    Below the smallest normal number, rounding is by half a step of fixed size: of the factor, limit / norm,
    and of each entry.
    """
    dtype = tensors[0].dtype
    numbers = torch.finfo(dtype)
    half_a_step = numbers.smallest_normal * numbers.eps / 2
    num_entries = sum(tensor.numel() for tensor in tensors)
    of_subnormals = half_a_step * (joint_norm(tensors) + math.sqrt(num_entries)) / limit
    return NORM_ERROR[dtype] + 2 * numbers.eps + of_subnormals


@given(gradients(), limits)
def test_by_norm_equals_torch(tensors: list[Tensor], limit: float) -> None:
    params = as_params(tensors)
    nn.utils.clip_grad_norm_(params, limit)
    apply_(ClipGradNorm(limit), tensors)
    assert_same(tensors, [param.grad for param in params], TOLERANCE[tensors[0].dtype])


@given(gradients(), limits)
def test_by_value_equals_torch_to_the_bit(tensors: list[Tensor], limit: float) -> None:
    params = as_params(tensors)
    nn.utils.clip_grad_value_(params, limit)
    apply_(ClipGradValue(limit), tensors)
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
        apply_(clip, ours)
        assert_same(ours, [param.grad for param in params], 0.0)


@given(gradients(), limits)
def test_the_norm_is_at_most_the_limit(tensors: list[Tensor], limit: float) -> None:
    allowed = limit * (1 + relative_error(tensors, limit)) + 1e-7
    apply_(ClipGradNorm(limit), tensors)
    assert joint_norm(tensors) <= allowed


@given(gradients(), limits)
def test_no_entry_is_above_the_value(tensors: list[Tensor], limit: float) -> None:
    apply_(ClipGradValue(limit), tensors)
    for tensor in tensors:
        assert (tensor.abs() <= torch.tensor(limit, dtype=tensor.dtype)).all()


@given(gradients())
def test_a_step_below_the_limit_is_untouched(tensors: list[Tensor]) -> None:
    before = copies(tensors)
    above = 1.01 * joint_norm(tensors) + 1e-3
    apply_(ClipGradNorm(above), tensors)
    apply_(ClipGradValue(above), tensors)
    assert all(torch.equal(now, was) for now, was in zip(tensors, before, strict=True))


@given(gradients([torch.float32, torch.float64]), limits)
def test_by_norm_keeps_the_direction(tensors: list[Tensor], limit: float) -> None:
    before = torch.cat([tensor.double().flatten() for tensor in tensors])
    apply_(ClipGradNorm(limit), tensors)
    after = torch.cat([tensor.double().flatten() for tensor in tensors])
    torch.testing.assert_close(after * before.norm(), before * after.norm(), rtol=1e-5, atol=1e-12)


@given(gradients(), limits, st.sampled_from([ClipGradNorm, ClipGradValue]))
def test_twice_equals_once(
    tensors: list[Tensor], limit: float, kind: type[ClipGradNorm | ClipGradValue]
) -> None:
    # Rounding may leave the norm just above the limit, and there is the 1e-6 in torch's divisor.
    tolerance = 0.0 if kind is ClipGradValue else 2 * relative_error(tensors, limit) + 2e-6 / limit
    apply_(kind(limit), tensors)
    once = copies(tensors)
    apply_(kind(limit), tensors)
    assert_same(tensors, once, tolerance)


@given(gradients(), limits, st.sampled_from([ClipGradNorm, ClipGradValue, ClipEachTensor]))
def test_the_norm_reported_after_clipping_is_the_true_one(
    tensors: list[Tensor], limit: float, kind: type[ClipGradNorm | ClipGradValue | ClipEachTensor]
) -> None:
    grads = grads_of(tensors)
    grads.norm()
    kind(limit).apply_(grads, None, step=1)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}.get(tensors[0].dtype, 1e-2)
    assert float(grads.norm()) == pytest.approx(joint_norm(tensors), rel=tolerance, abs=1e-6)
    each = [float(tensor.double().norm()) for tensor in tensors]
    assert grads.norms().tolist() == pytest.approx(each, rel=tolerance, abs=1e-6)


def test_gradients_of_several_dtypes_are_clipped_together() -> None:
    tensors = [
        torch.full((3,), 10.0, dtype=dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64)
    ]
    apply_(ClipGradNorm(1.0), tensors)
    assert joint_norm(tensors) == pytest.approx(1.0, rel=1e-3)
    assert [tensor.dtype for tensor in tensors] == [torch.bfloat16, torch.float32, torch.float64]


@given(gradients(), limits)
def test_each_tensor_alone_equals_torch_on_each_alone(tensors: list[Tensor], limit: float) -> None:
    dtype = tensors[0].dtype
    # In half precision torch rounds the norm and the factor, to subnormal numbers even; we do not.
    params = as_params([tensor.to(torch.promote_types(dtype, torch.float32)) for tensor in tensors])
    for param in params:
        nn.utils.clip_grad_norm_([param], limit)
    apply_(ClipEachTensor(limit), tensors)
    assert_same(tensors, [param.grad.to(dtype) for param in params], TOLERANCE[dtype])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_each_tensor_alone_keeps_what_is_not_finite_to_its_own_tensor(bad: float) -> None:
    tensors = [torch.tensor([1.0, bad]), torch.tensor([3.0, 4.0])]
    apply_(ClipEachTensor(1.0), tensors)
    assert not tensors[0].isfinite().all()
    torch.testing.assert_close(tensors[1], torch.tensor([0.6, 0.8]))


def test_gradients_too_large_for_a_norm_in_single_precision_are_not_scaled_to_zero() -> None:
    for clip in (ClipGradNorm(1.0), ClipEachTensor(1.0)):
        tensors = [torch.full((4,), 3e20)]
        apply_(clip, tensors)
        torch.testing.assert_close(tensors[0], torch.full((4,), 0.5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limit", [1e10, 1e30, 65504.0, 65505.0])
def test_a_limit_beyond_the_type_clips_nothing_but_inf(dtype: torch.dtype, limit: float) -> None:
    values = torch.tensor([math.inf, -math.inf, 1.0, -3.0, math.nan], dtype=dtype)
    clipped = values.clone()
    apply_(ClipGradValue(limit), [clipped])
    largest = min(limit, torch.finfo(dtype).max)
    expected = torch.tensor([largest, -largest, 1.0, -3.0, math.nan], dtype=dtype)
    assert torch.equal(clipped.nan_to_num(7.0), expected.nan_to_num(7.0))
