from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.toys import grads_of
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.gradients import gathered
from vgrad.gradients.gathered import MANY, SMALL
from vgrad.gradients.norms import NormPlan

SIZES = [0, 1, 2, 64, 64, 1000, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.fixture(autouse=True, scope="module", params=[2, MANY], ids=["in chunks", "one by one"])
def how_small_tensors_are_read(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every law holds both ways; a few tensors of one shape are read one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathered, "MANY", request.param)
        yield


def read(tensors: list[Tensor]) -> Tensor:
    return NormPlan(tensors).read(tensors)[0]


@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=12), st.sampled_from(DTYPES), st.integers(0, 99))
def test_every_tensor_has_its_own_norm_in_its_own_place(
    sizes: list[int], dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(size, generator=generator).to(dtype) for size in sizes]
    expected = [float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) for tensor in tensors]
    assert read(tensors).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(), (0,), (SMALL,), (64, 64)])
def test_more_tensors_of_one_shape_than_are_read_together(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator) for _ in range(37)]
    tensors.insert(5, torch.ones(3))  # another shape among them, and the only one of its own
    expected = [float(tensor.double().norm()) for tensor in tensors]
    assert read(tensors).tolist() == pytest.approx(expected, rel=1e-5)


def test_what_was_read_stays_when_more_is_read() -> None:
    tensors = [torch.ones(4), torch.ones(4), torch.ones(SMALL + 1)]
    plan = NormPlan(tensors)
    norms, norm = plan.read(tensors)
    plan.read([2 * tensor for tensor in tensors])
    assert norms.tolist() == pytest.approx([2.0, 2.0, math.sqrt(SMALL + 1)])
    assert float(norm) == pytest.approx(math.sqrt(SMALL + 9))


def test_tensors_of_several_dtypes_and_any_layout_of_memory() -> None:
    wide = torch.randn(40, 30)
    tensors = [
        wide.bfloat16(),
        wide.double(),
        wide.t(),
        wide[::2, 1::3],
        torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last),
        torch.randn(SMALL + 5).half(),
        torch.randn(SMALL + 5),
    ]
    expected = [float(tensor.double().norm()) for tensor in tensors]
    assert read(tensors).tolist() == pytest.approx(expected, rel=1e-6)


@given(
    st.lists(st.sampled_from(SIZES), min_size=1, max_size=8), st.sampled_from([torch.float32, torch.float64])
)
def test_the_joint_norm_is_that_of_all_entries(sizes: list[int], dtype: torch.dtype) -> None:
    tensors = [torch.full((size,), 0.5, dtype=dtype) for size in sizes]
    norm = grads_of(tensors).norm()
    assert norm.shape == ()
    assert float(norm) == pytest.approx(0.5 * math.sqrt(sum(sizes)), rel=1e-6)


@pytest.mark.parametrize("size", [4, SMALL + 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_gradients_are_never_reported_as_infinite(dtype: torch.dtype, size: int) -> None:
    tensors = [torch.full((size,), 3e20, dtype=dtype), torch.ones(3, dtype=dtype)]
    norms = read(tensors)
    assert norms[0].item() == pytest.approx(3e20 * math.sqrt(size), rel=1e-2)
    assert norms[1].item() == pytest.approx(math.sqrt(3))


# From the smallest numbers of each dtype, subnormal ones too, to entries whose norm it can still hold.
EXPONENTS = {
    torch.float32: (-40, 36),
    torch.bfloat16: (-38, 36),
    torch.float16: (-7, 4),
    torch.float64: (-310, 305),
}


def exact(tensor: Tensor) -> float:
    """Python's own arithmetic, which loses nothing on the way."""
    return math.hypot(*tensor.double().flatten().tolist())


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 7, 7, 7, 300, SMALL + 1]), st.floats(0, 1)), min_size=1, max_size=9
    ),
    st.sampled_from(DTYPES),
    st.integers(0, 99),
)
def test_every_finite_tensor_has_its_true_norm(
    tensors_to_make: list[tuple[int, float]], dtype: torch.dtype, seed: int
) -> None:
    low, high = EXPONENTS[dtype]
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        (torch.randn(size, generator=generator, dtype=torch.float64) * 10 ** (low + share * (high - low))).to(
            dtype
        )
        for size, share in tensors_to_make
    ]
    norms, norm = NormPlan(tensors).read(tensors)
    expected = [exact(tensor) for tensor in tensors]
    # A norm of its own dtype is rounded to a multiple of that dtype's smallest number.
    smallest = torch.finfo(norms.dtype).smallest_normal * torch.finfo(norms.dtype).eps
    assert norms.tolist() == pytest.approx(expected, rel=1e-5, abs=smallest)
    assert float(norm) == pytest.approx(math.hypot(*expected), rel=1e-5, abs=5e-324)


@pytest.mark.parametrize("size", [4, SMALL + 4])
@pytest.mark.parametrize("entry", [1e-23, 1e-30, 1e-40])
def test_gradients_whose_squares_underflow_are_not_zero(size: int, entry: float) -> None:
    tensors = [torch.full((size,), entry), torch.full((size,), entry), torch.ones(3), torch.zeros(size)]
    norms, norm = NormPlan(tensors).read(tensors)
    small = entry * math.sqrt(size)
    assert norms.tolist() == pytest.approx([small, small, math.sqrt(3), 0.0], rel=1e-5, abs=2e-45)
    assert norms.dtype == torch.float32
    assert float(norm) == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize("is_flushed", [False, True])
@pytest.mark.parametrize("exponent", range(-24, -12))
def test_squares_that_are_too_small_are_mended_whether_the_processor_rounds_or_flushes_them(
    exponent: int, is_flushed: bool
) -> None:
    if not torch.set_flush_denormal(is_flushed):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        tensors = [torch.full(size, 10.0**exponent) for size in [(64, 64), (64,)] * 20]
        for tensor in tensors:  # one square is kept, and as large as all others together
            tensor.view(-1)[0] *= math.sqrt(tensor.numel())
        found = read(tensors).tolist()
    finally:
        torch.set_flush_denormal(False)
    assert found == pytest.approx([exact(tensor) for tensor in tensors], rel=1e-5, abs=0)


@pytest.mark.parametrize("shape", [(6,), (3, 2), (3, 2, 1)])
@pytest.mark.parametrize("which", [[1], [0, 7, 36], list(range(37))])
def test_squares_that_underflow_are_mended_in_their_own_places(
    shape: tuple[int, ...], which: list[int]
) -> None:
    tensors = [torch.full(shape, 1e-30 if index in which else 1.0 + index) for index in range(37)]
    assert read(tensors).tolist() == pytest.approx([exact(tensor) for tensor in tensors], rel=1e-5, abs=0)


def test_zeros_stay_zeros_of_the_same_dtype() -> None:
    tensors = [torch.zeros(64), torch.zeros(64), torch.zeros(2 * SMALL), torch.zeros(())]
    norms, norm = NormPlan(tensors, varying=[0]).read(tensors)
    assert norms.tolist() == [0.0] * 4
    assert norms.dtype == torch.float32
    assert float(norm) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("size", [4, SMALL + 4])
def test_what_is_not_finite_stays_visible_and_spoils_no_other_layer(size: int, bad: float) -> None:
    tensors = [torch.ones(size), torch.ones(size), torch.ones(9)]
    tensors[1][2] = bad
    first, spoilt, last = read(tensors).tolist()
    assert math.isnan(spoilt) if math.isnan(bad) else spoilt == math.inf
    assert (first, last) == pytest.approx((math.sqrt(size), 3.0))
    assert not math.isfinite(float(grads_of(tensors).norm()))


@pytest.mark.parametrize("entry", [1e30, 1e-30, math.inf, math.nan])
@pytest.mark.parametrize("size", [8, 4096])
def test_numpy_neither_warns_nor_raises_whatever_the_program_has_told_it(size: int, entry: float) -> None:
    tensors = [torch.ones(size) for _ in range(2 * MANY)]
    tensors[MANY] = torch.full((size,), entry)
    with np.errstate(all="raise"):  # else a warning, which pytest makes an error
        norms, _ = NormPlan(tensors).read(tensors)
    others = norms[torch.arange(len(tensors)) != MANY]
    assert others.tolist() == pytest.approx([math.sqrt(size)] * len(others))
    assert float(norms[MANY]) == pytest.approx(math.sqrt(size) * entry, nan_ok=True)


def test_squares_that_half_precision_cannot_hold_are_no_obstacle() -> None:
    tensors = [torch.full((1000,), 300.0, dtype=torch.float16)]
    assert read(tensors).item() == pytest.approx(300 * math.sqrt(1000), rel=1e-5)


def test_reading_writes_nothing() -> None:
    tensors = [torch.randn(size) for size in SIZES]
    before = [tensor.clone() for tensor in tensors]
    versions = [tensor._version for tensor in tensors]
    grads = grads_of(tensors)
    grads.norms()
    grads.norm()
    assert all(torch.equal(now, was) for now, was in zip(tensors, before, strict=True))
    assert [tensor._version for tensor in tensors] == versions


def test_norms_are_read_once() -> None:
    tensors = [torch.ones(4)]
    grads = grads_of(tensors)
    assert grads.norms() is grads.norms()
    assert grads.norm() is grads.norm()


def test_sparse_gradients_are_refused_where_only_dense_ones_will_do() -> None:
    with pytest.raises(ConfigError, match=r"sparse=False"):
        NormPlan([torch.ones(3), torch.eye(3).to_sparse()])


def test_gradients_on_two_devices_are_refused() -> None:
    with pytest.raises(ConfigError, match="several devices"):
        NormPlan([torch.ones(3), torch.ones(3, device="meta")])


@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=6), st.sampled_from(DTYPES), st.integers(0, 99))
def test_each_gradient_is_scaled_by_its_own_factor(sizes: list[int], dtype: torch.dtype, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(size, generator=generator).to(dtype) for size in sizes]
    before = [tensor.clone() for tensor in tensors]
    factors = torch.rand(len(sizes), generator=generator) * 4
    grads = grads_of(tensors)
    grads.norm()
    grads.scale_each_(factors)
    for now, was, factor in zip(tensors, before, factors.tolist(), strict=True):
        torch.testing.assert_close(now, (was.double() * factor).to(dtype))
    assert torch.equal(grads.norms(), read(tensors))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_a_factor_beyond_half_precision_does_not_overflow_on_its_way(shape: tuple[int, ...]) -> None:
    tensors = [torch.full(shape, 2.0**-20, dtype=torch.float16)]
    grads_of(tensors).scale_each_(torch.tensor([2.0**20]))
    assert torch.equal(tensors[0], torch.ones(shape, dtype=torch.float16))


def test_the_norms_of_the_weights_are_those_of_now() -> None:
    params = [nn.Parameter(torch.full((4,), 3.0)), nn.Parameter(torch.tensor(-2.0))]
    grads = grads_of([torch.ones(4), torch.tensor(1.0)], params)
    assert grads.weight_norms().tolist() == [6.0, 2.0]
    with torch.no_grad():
        params[0].zero_()
    assert grads.weight_norms().tolist() == [0.0, 2.0]


@given(
    st.lists(st.sampled_from(SIZES), min_size=1, max_size=6),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, math.nan, math.inf, -math.inf]),
    st.integers(0, 2**20),
)
def test_all_finite_means_every_entry(sizes: list[int], dtype: torch.dtype, bad: float, where: int) -> None:
    tensors = [torch.ones(size, dtype=dtype) for size in sizes]
    grads = grads_of(tensors)
    assert grads.all_finite()
    spoilt = tensors[where % len(tensors)]
    if spoilt.numel():
        spoilt[where % spoilt.numel()] = bad
    grads.forget_norms()
    assert bool(grads.all_finite()) == (spoilt.numel() == 0 or math.isfinite(bad))
    assert grads.all_finite().shape == ()


def test_entries_whose_norm_overflows_are_finite() -> None:
    grads = grads_of([torch.full((4,), 1.5e308, dtype=torch.float64), torch.ones(0)])
    assert grads.norm() == math.inf
    assert grads.all_finite()


def test_norms_that_are_wanted_on_the_host_are_those_that_are_read_as_tensors() -> None:
    tensors = [torch.randn(size) for size in SIZES]
    grads, others = grads_of(tensors), grads_of(tensors)
    on_host = grads.norms_on_host()
    assert on_host is not None
    assert on_host[0].tolist() == others.norms().tolist() == grads.norms().tolist()
    assert on_host[1] == float(others.norm()) == float(grads.norm())
    grads.scale_(torch.tensor(0.5))
    assert grads.norms_on_host() is None, "what was scaled by arithmetic is in tensors alone"
    assert grads.norms().tolist() == pytest.approx((0.5 * others.norms()).tolist())
