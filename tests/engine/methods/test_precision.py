from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vgrad.errors import ConfigError
from vgrad.methods.precision import (
    MAX_SCALE,
    MIN_SCALE,
    BFloat16,
    Float16,
    Float32,
    LossScale,
    autocast,
    supports,
)

CPU = torch.device("cpu")
runs = st.lists(st.booleans(), min_size=1, max_size=12)


def scales(value: Float16, steps: list[bool]) -> list[float]:
    scale = LossScale(value)
    seen = []
    for all_finite in steps:
        scale.update(all_finite)
        seen.append(scale.scale)
    return seen


def scales_of_torch(value: Float16, steps: list[bool]) -> list[float]:
    """What torch's scaler does when gradients really are, or are not, finite."""
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([param], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=value.scale, growth_interval=value.growth_interval)
    seen = []
    for all_finite in steps:
        optimizer.zero_grad()
        scaler.scale((param * (1.0 if all_finite else math.inf)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        seen.append(scaler.get_scale())
    return seen


@given(steps=runs, interval=st.integers(1, 5), power=st.integers(12, 24 - 12))
def test_the_scale_moves_as_torchs_does(steps: list[bool], interval: int, power: int) -> None:
    value = Float16(2.0**power, growth_interval=interval)  # 12 steps away from either bound
    assert scales(value, steps) == scales_of_torch(value, steps)


@given(steps=runs, scale=st.floats(MIN_SCALE, MAX_SCALE))
def test_a_fixed_scale_never_moves(steps: list[bool], scale: float) -> None:
    assert set(scales(Float16(scale, dynamic=False, growth_interval=1), steps)) == {scale}


@given(steps=st.lists(st.booleans(), max_size=60), scale=st.floats(MIN_SCALE, MAX_SCALE))
def test_the_scale_stays_within_its_bounds(steps: list[bool], scale: float) -> None:
    assert all(MIN_SCALE <= s <= MAX_SCALE for s in scales(Float16(scale, growth_interval=1), steps))


def test_the_bounds_are_reached_and_left_again() -> None:
    value = Float16(4.0, growth_interval=1)
    assert scales(value, [False] * 4) == [2.0, 1.0, 1.0, 1.0]
    assert scales(value, [True] * 24)[-3:] == [MAX_SCALE] * 3
    assert scales(value, [False] * 3 + [True])[-1] == 2.0


def test_a_copy_goes_on_where_its_original_stood() -> None:
    original = LossScale(Float16(8.0, growth_interval=3))
    original.update(True)
    original.update(True)
    duplicate = copy.deepcopy(original)
    duplicate.update(True)
    assert (original.scale, duplicate.scale) == (8.0, 16.0)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(Float32(), torch.float32), (BFloat16(), torch.bfloat16), (Float16(), torch.float16)],
    ids=["float32", "bfloat16", "float16"],
)
def test_a_forward_pass_computes_in_what_was_asked_for(value: Any, dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(3, 2)
    with autocast(value, CPU):
        outputs = layer(torch.ones(4, 3))
    outputs.sum().backward()
    assert outputs.dtype is dtype
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype is torch.float32


@pytest.mark.parametrize("value", [Float32(), BFloat16(), Float16()])
def test_a_cpu_trains_in_every_precision_and_asking_changes_nothing(value: Any) -> None:
    rng = torch.get_rng_state()
    assert supports(value, CPU) is None
    assert torch.equal(torch.get_rng_state(), rng)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("value", [BFloat16(), Float16()])
def test_a_device_that_holds_no_numbers_is_refused_with_a_reason(value: Any) -> None:
    assert "meta cannot train in" in str(supports(value, torch.device("meta")))
    assert "use fp32" in str(supports(value, torch.device("meta")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("value", [Float32(), BFloat16(), Float16()])
def test_a_recent_cuda_device_trains_in_every_precision(value: Any) -> None:
    assert supports(value, torch.device("cuda")) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0.5}, "scale must be > 0, and from 1 to"),
        ({"scale": 2.0**25}, "scale must be"),
        ({"scale": math.nan}, "scale must be"),
        ({"dynamic": 1}, "dynamic must be true or false, got 1"),
        ({"growth_interval": 0}, "growth_interval must be a whole number"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Float16(**values)


def test_whole_numbers_make_a_fixed_scale() -> None:
    assert Float16(scale=1, dynamic=False).scale == 1.0
