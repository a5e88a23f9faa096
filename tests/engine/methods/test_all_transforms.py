"""What holds for every transform: how it checks itself, what it may touch, what it may keep."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.methods.material import (
    DTYPES,
    Steps,
    apply_,
    copies,
    gradients,
    is_bit_equal,
    weights_like,
)
from tests.engine.toys import grads_of
from tests.engine.waiting import no_waiting
from torch import Tensor, nn

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf
from vgrad.errors import ConfigError
from vgrad.gradients.grads import Grads
from vgrad.gradients.norms import NormPlan
from vgrad.methods.adaptive_clip import AGC, AutoClip, ZClip
from vgrad.methods.article import (
    AscendAsCoded,
    DoubleAsCoded,
    FloorAsPrinted,
    FloorSigned,
    HoardAsProse,
    PerturbAsProse,
)
from vgrad.methods.centralize import CentralizeGrads
from vgrad.methods.clip import ClipEachTensor, ClipGradNorm, ClipGradValue
from vgrad.methods.lars import LARS
from vgrad.methods.noise import AddGradNoise
from vgrad.methods.transform import GradTransform

TRANSFORMS: list[type[GradTransform]] = [
    AGC,
    LARS,
    AddGradNoise,
    AscendAsCoded,
    AutoClip,
    CentralizeGrads,
    ClipEachTensor,
    ClipGradNorm,
    ClipGradValue,
    DoubleAsCoded,
    FloorAsPrinted,
    FloorSigned,
    HoardAsProse,
    PerturbAsProse,
    ZClip,
]
RANDOM = [AddGradNoise, FloorAsPrinted, FloorSigned, PerturbAsProse]
MOVE_WEIGHTS = [AscendAsCoded, PerturbAsProse]

# The settings of METHODS and the papers, in the order in which a text form gives them.
DEFAULTS = {
    "AGC": {"clipping": 0.01, "eps": 1e-3},
    "LARS": {"trust": 0.001, "weight_decay": 0.0},
    "AddGradNoise": {"eta": 0.01, "gamma": 0.55},
    "AscendAsCoded": {"rate": 0.1},
    "AutoClip": {"percentile": 10.0},
    "CentralizeGrads": {},
    "ClipEachTensor": {"max_norm": 1.0},
    "ClipGradNorm": {"max_norm": 1.0},
    "ClipGradValue": {"clip_value": 0.5},
    "DoubleAsCoded": {},
    "FloorAsPrinted": {"t_max": 0.1},
    "FloorSigned": {"t_max": 0.1},
    "HoardAsProse": {},
    "PerturbAsProse": {"sigma": 0.01, "probability": 0.1},
    "ZClip": {"z": 2.5, "alpha": 0.97, "warmup_steps": 25, "max_norm": 1.0},
}
SETTINGS = [(kind, name) for kind in TRANSFORMS for name in DEFAULTS[kind.__name__]]
MAY_BE_ZERO = {"weight_decay", "gamma", "percentile", "probability", "alpha"}
BOUNDED = {"gamma": 10, "percentile": 100, "probability": 1, "alpha": 1}


def test_every_transform_is_tested_here() -> None:
    choices = (control for control in CONTROLS.values() if isinstance(control, OneOf))
    types = {kind.type for control in choices for kind in control.variants.values() if kind.type is not None}
    assert {kind for kind in types if issubclass(kind, GradTransform)} == set(TRANSFORMS)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_transform_is_a_frozen_value_with_the_settings_of_its_source(kind: type[Any]) -> None:
    assert is_dataclass(kind)
    transform = kind()
    values = {field.name: getattr(transform, field.name) for field in fields(transform)}
    assert values == DEFAULTS[kind.__name__]
    assert list(values) == list(DEFAULTS[kind.__name__])
    assert transform == kind(**values) and hash(transform) == hash(kind(**values))
    assert not hasattr(transform, "__dict__")
    with pytest.raises((FrozenInstanceError, TypeError)):
        transform.anything = 1


@pytest.mark.parametrize(("kind", "name"), SETTINGS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1, "1", None, True, 10**400])
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(
    kind: type[Any], name: str, bad: object
) -> None:
    with pytest.raises(ConfigError, match=name):
        kind(**{name: bad})


@pytest.mark.parametrize(("kind", "name"), SETTINGS)
def test_zero_is_a_setting_where_it_means_something(kind: type[Any], name: str) -> None:
    if name in MAY_BE_ZERO:
        assert getattr(kind(**{name: 0}), name) == 0.0
    else:
        with pytest.raises(ConfigError, match=name):
            kind(**{name: 0})


@pytest.mark.parametrize(("kind", "name"), [pair for pair in SETTINGS if pair[1] in BOUNDED])
def test_a_share_above_the_whole_is_refused(kind: type[Any], name: str) -> None:
    assert getattr(kind(**{name: BOUNDED[name]}), name) == BOUNDED[name]
    with pytest.raises(ConfigError, match=name):
        kind(**{name: BOUNDED[name] * 1.01})


def test_transforms_are_made_without_torch() -> None:
    code = (
        "import sys; from vgrad.controls.catalog import CONTROLS; "
        "rows = [getattr(control, 'variants', {}) for control in CONTROLS.values()]; "
        "[variant.value() for row in rows for variant in row.values()]; "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("kind", TRANSFORMS)
@given(tensors=gradients(), seed=st.integers(0, 99))
def test_shapes_dtypes_and_storage_stay_and_the_norms_are_true(
    kind: type[Any], tensors: list[Tensor], seed: int
) -> None:
    params = weights_like(tensors, seed=seed)
    before = copies(params)
    places = [tensor.data_ptr() for tensor in tensors]
    meta = [(tensor.shape, tensor.dtype) for tensor in tensors]
    grads = grads_of(tensors, params)
    grads.norm()  # read, as the tap does, so that a stale one would show
    with torch.no_grad():
        kind().apply_(grads, kind().start(grads, seed=seed), step=1)
    assert [(tensor.shape, tensor.dtype) for tensor in tensors] == meta
    assert [tensor.data_ptr() for tensor in tensors] == places, "the optimizer sees the same tensors"
    assert (kind in MOVE_WEIGHTS) or is_bit_equal(params, before)
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-5}.get(tensors[0].dtype, 1e-2)
    true = NormPlan(tensors).read(tensors)
    torch.testing.assert_close(grads.norms(), true[0], rtol=tolerance, atol=1e-5)
    torch.testing.assert_close(grads.norm(), true[1], rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_runs_own_random_numbers_are_left_alone(kind: type[Any]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    tensors = [torch.ones(3, 4), torch.ones(())]
    apply_(kind(), tensors, weights_like(tensors))
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("kind", RANDOM)
def test_a_seed_decides_what_is_drawn(kind: type[Any]) -> None:
    def drawn(seed: int) -> list[Tensor]:
        tensors = [torch.zeros(50), torch.zeros(4, 4)]
        params = [nn.Parameter(tensor.clone()) for tensor in tensors]
        with torch.no_grad():
            grads = grads_of(tensors, params)
            # The floors leave no trace of T on zeros with their sign: look at ones far below it.
            torch._foreach_add_(tensors, 1e-30)
            kind().apply_(grads, kind().start(grads, seed=seed), step=1)
        return [*tensors, *copies(params)]

    assert is_bit_equal(drawn(1), drawn(1))
    assert not is_bit_equal(drawn(1), drawn(2))


@given(st.integers(0, 2**63 - 1))
def test_no_two_methods_draw_the_same_numbers(seed: int) -> None:
    grads = grads_of([torch.zeros(1)])
    drawn = [torch.rand(4, generator=kind().start(grads, seed=seed)) for kind in RANDOM]
    drawn.append(torch.rand(4, generator=torch.Generator().manual_seed(seed)))
    assert len({tuple(values.tolist()) for values in drawn}) == len(drawn)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_copy_of_the_memory_continues_as_the_original(kind: type[Any]) -> None:
    """What a snapshot needs: all that a transform has learned is in its memory, and can be copied."""
    generator = torch.Generator().manual_seed(0)
    params = weights_like([torch.zeros(5, 3), torch.zeros(3)])
    steps = Steps(kind())
    for _ in range(30):
        steps.apply_(grads_of([torch.randn(5, 3, generator=generator), torch.ones(3)], params))

    def go_on(memory: Any) -> list[Tensor]:
        own = [nn.Parameter(param.detach().clone()) for param in params]
        ahead = torch.Generator().manual_seed(1)
        out = []
        for step in range(31, 35):
            tensors = [3 * torch.randn(5, 3, generator=ahead), torch.ones(3)]
            with torch.no_grad():
                kind().apply_(grads_of(tensors, own), memory, step=step)
            out += [*tensors, *copies(own)]
        return out

    kept = copy.deepcopy(steps.memory)
    assert is_bit_equal(go_on(steps.memory), go_on(kept))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_gradients_of_several_dtypes_come_together(kind: type[Any]) -> None:
    tensors = [torch.full((2, 3), 10.0, dtype=dtype) for dtype in DTYPES]
    apply_(kind(), tensors, weights_like(tensors))
    assert [tensor.dtype for tensor in tensors] == DTYPES
    assert all(tensor.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_weights_may_come_and_go_between_steps(kind: type[Any]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    steps = Steps(kind())
    for frozen in (set(), {"0.weight", "0.bias"}, {"1.bias"}, set()):
        named = {name: param for name, param in model.named_parameters() if name not in frozen}
        tensors = [torch.ones_like(param) for param in named.values()]
        steps.apply_(
            Grads(
                tensors,
                NormPlan(tensors),
                params=list(named.values()),
                names=list(named),
                last_linear=frozenset(model[1].parameters()),
            )
        )
        assert all(tensor.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_a_nan_stays_visible(kind: type[Any]) -> None:
    tensors = [torch.tensor([[1.0, math.nan], [2.0, 3.0]]), torch.ones(2)]
    steps = Steps(kind(warmup_steps=1) if kind is ZClip else kind())
    params = weights_like(tensors)
    steps.apply_(grads_of([torch.ones(2, 2), torch.ones(2)], params))
    steps.apply_(grads_of(tensors, params))
    # The article's formula compares NaN > T, which is false, and so writes +T: as printed.
    assert bool(tensors[0].isnan().any()) == (kind is not FloorAsPrinted)


@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_bad_step_spoils_no_later_one(kind: type[Any], bad: float) -> None:
    params = weights_like([torch.zeros(2, 3)])
    steps = Steps(kind(warmup_steps=2) if kind is ZClip else kind())
    for entry in (1.0, 2.0, 3.0, bad, 1.0):
        if not math.isfinite(entry):
            params_before = copies(params)
        tensors = [torch.full((2, 3), entry) * torch.tensor([1.0, -2.0, 0.5])]
        steps.apply_(grads_of(tensors, params))
        if not math.isfinite(entry):  # the tap may drop such a step; here the weights are put back
            with torch.no_grad():
                torch._foreach_copy_(params, params_before)
    # A sum that is never cleared keeps what it has met, as its docstring says.
    assert bool(tensors[0].isfinite().all()) == (kind is not HoardAsProse)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_nothing_is_read_back_to_the_host(kind: type[Any]) -> None:
    """The `meta` device has shapes and no entries, so that whatever looks at one raises by itself."""
    shapes = [(4, 3), (4,), (), (0,), (2, 3, 5)]
    with torch.device("meta"):
        params = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    steps = Steps(kind())
    for _ in range(3):
        grads = grads_of([torch.empty_like(param) for param in params], params)
        steps.apply_(grads)
        assert grads.norm().is_meta and grads.all_finite().is_meta


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_cuda_agrees(kind: type[Any]) -> None:
    on_cpu = [torch.randn(7, 5), torch.randn(7), torch.randn(()), torch.randn(2, 3, 5)]
    on_gpu = [tensor.cuda() for tensor in on_cpu]
    params = weights_like(on_cpu)
    steps, alike = Steps(kind()), Steps(kind())
    copied = [nn.Parameter(param.detach().cuda()) for param in params]
    for step in range(5):
        steps.apply_(grads_of(on_cpu, params))
        with no_waiting() if step >= 1 else nullcontext():  # the first step may allocate
            alike.apply_(grads_of(on_gpu, copied))
        if kind not in RANDOM:  # other devices draw other numbers
            torch.testing.assert_close([tensor.cpu() for tensor in on_gpu], on_cpu)
