"""Each of the article's remedies does what it prints, and amounts to what we say it does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.methods.material import (
    Steps,
    apply_,
    assert_same,
    copies,
    gradients,
    is_bit_equal,
    train,
    weights_like,
)
from tests.engine.toys import grads_of, toy_batch, toy_model
from torch import Tensor, nn

from vgrad.methods.article import (
    AscendAsCoded,
    DoubleAsCoded,
    FloorAsPrinted,
    FloorSigned,
    HoardAsProse,
    PerturbAsProse,
)
from vgrad.methods.transform import GradTransform

SEEDS = st.integers(0, 2**31)


def toy_run(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    num_steps: int,
    transform: GradTransform | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> list[list[Tensor]]:
    """Weights over the steps of a small network that learns one batch."""
    model = toy_model(dtype=dtype)
    batch = toy_batch(torch.linspace(-2, 2, 48, dtype=dtype).view(8, 6))
    return train(
        make(list(model.parameters())),
        lambda: nn.functional.mse_loss(model(batch.inputs), batch.targets),
        num_steps,
        transform,
    )


# Detection, as coded


def test_ascent_under_sgd_equals_ascent_at_the_rate_less_lr() -> None:
    ours = toy_run(lambda params: torch.optim.SGD(params, lr=0.03), 30, AscendAsCoded(), dtype=torch.float64)
    ascent = toy_run(lambda params: torch.optim.SGD(params, lr=0.07, maximize=True), 30, dtype=torch.float64)
    for mine, other in zip(ours, ascent, strict=True):
        assert_same(mine, other, 1e-9)


def test_ascent_at_the_learning_rate_stands_still() -> None:
    seen = toy_run(lambda params: torch.optim.SGD(params, lr=0.1), 200, AscendAsCoded(), dtype=torch.float64)
    # Up and down by the same product: what remains is the rounding of two additions a step.
    for first, last in zip(seen[0], seen[-1], strict=True):
        torch.testing.assert_close(last, first, rtol=0, atol=200 * 1e-15)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=9), SEEDS)
def test_it_stands_still_to_the_bit_where_nothing_is_rounded(entries: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    param = nn.Parameter(torch.randint(-1000, 1000, (len(entries),), generator=generator).float())
    start = copies([param])
    optimizer = torch.optim.SGD([param], lr=0.125)
    grad = torch.tensor(entries).float()
    seen = train(optimizer, lambda: torch.dot(param, grad), 5, AscendAsCoded(rate=0.125))
    assert is_bit_equal(seen[-1], start)


@given(gradients(), SEEDS, st.floats(1e-3, 10.0))
def test_ascent_moves_weights_by_the_gradient_and_leaves_the_gradient(
    tensors: list[Tensor], seed: int, rate: float
) -> None:
    params = weights_like(tensors, seed=seed)
    before, weights = copies(tensors), copies(params)
    apply_(AscendAsCoded(rate), tensors, params)
    assert is_bit_equal(tensors, before)
    for param, weight, grad in zip(params, weights, before, strict=True):
        eps = torch.finfo(param.dtype).eps
        expected = weight.double() + rate * grad.double()
        size = weight.double().abs() + rate * grad.double().abs()
        assert ((param.double() - expected).abs() <= 2 * eps * size + 1e-6).all()


# Detection, as prose


@given(gradients(), SEEDS, st.floats(0.0, 1.0))
def test_weights_outside_the_mask_are_bit_equal_and_the_gradient_too(
    tensors: list[Tensor], seed: int, probability: float
) -> None:
    params = weights_like(tensors, seed=seed)
    with torch.no_grad():
        for param in params:
            param.view(-1)[::3] = -0.0  # which adding 0 would turn into +0
    before, weights = copies(tensors), copies(params)
    apply_(PerturbAsProse(0.5, probability), tensors, params, seed=seed)
    assert is_bit_equal(tensors, before)
    generator = Steps(PerturbAsProse()).transform.start(grads_of(tensors, params), seed=seed)
    for param, weight in zip(params, weights, strict=True):  # the draws again, in the stated order
        dtype = torch.promote_types(param.dtype, torch.float32)
        push = torch.randn(param.shape, generator=generator, dtype=dtype)
        mask = torch.empty(param.shape, dtype=torch.bool).bernoulli_(probability, generator=generator)
        assert is_bit_equal([param[~mask]], [weight[~mask]])
        torch.testing.assert_close(param[mask], (weight + 0.5 * push)[mask].to(param.dtype))


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_the_push_has_its_share_and_its_spread(probability: float) -> None:
    param = nn.Parameter(torch.zeros(200_000))
    apply_(PerturbAsProse(0.01, probability), [torch.zeros(200_000)], [param])
    pushed = param.detach()[param != 0]
    # Five standard errors of a count and of a standard deviation.
    error = 5 * math.sqrt(probability * (1 - probability) / 200_000)
    assert len(pushed) / 200_000 == pytest.approx(probability, abs=error)
    if len(pushed):
        assert float(pushed.std()) == pytest.approx(0.01, rel=5 / math.sqrt(2 * len(pushed)))


def test_pushes_are_not_undone() -> None:
    param = nn.Parameter(torch.zeros(20_000))
    steps = Steps(PerturbAsProse(0.01, 1.0))
    for _ in range(25):
        steps.apply_(grads_of([torch.zeros(20_000)], [param]))
    assert float(param.detach().std()) == pytest.approx(0.01 * 5, rel=0.05), "a random walk: sqrt(25) pushes"


# Clipping, as printed


@given(gradients(), SEEDS, st.floats(1e-3, 10.0))
def test_the_floor_as_printed(tensors: list[Tensor], seed: int, t_max: float) -> None:
    before = copies(tensors)
    thresholds = thresholds_of(FloorAsPrinted(t_max), tensors, seed)
    apply_(FloorAsPrinted(t_max), tensors, seed=seed)
    for now, was, threshold in zip(tensors, before, thresholds, strict=True):
        assert (now.abs() >= threshold).all()
        wide, limit = was.double().numpy(), float(threshold)
        expected = np.where(np.abs(wide) > limit, wide, limit)
        assert np.array_equal(now.double().numpy(), expected)


@given(gradients(), SEEDS, st.floats(1e-3, 10.0))
def test_the_floor_with_a_sign(tensors: list[Tensor], seed: int, t_max: float) -> None:
    before = copies(tensors)
    thresholds = thresholds_of(FloorSigned(t_max), tensors, seed)
    apply_(FloorSigned(t_max), tensors, seed=seed)
    for now, was, threshold in zip(tensors, before, thresholds, strict=True):
        assert torch.equal(now.sign(), was.sign())
        assert (now.abs() >= threshold)[was != 0].all()
        wide, limit = was.double().numpy(), float(threshold)
        expected = np.where(np.abs(wide) <= limit, limit * np.sign(wide), wide)
        assert np.array_equal(now.double().numpy(), expected)


def thresholds_of(transform: FloorAsPrinted | FloorSigned, tensors: list[Tensor], seed: int) -> list[Tensor]:
    """T of each tensor in the first step, drawn again from the same seed."""
    generator = transform.start(grads_of(tensors), seed=seed)
    drawn = transform.t_max * torch.rand(len(tensors), generator=generator)
    assert (drawn >= 0).all() and (drawn < transform.t_max).all()
    return [value.to(tensor.dtype) for value, tensor in zip(drawn, tensors, strict=True)]


def test_thresholds_are_drawn_anew_for_each_tensor_and_step_from_the_whole_range() -> None:
    steps, drawn = Steps(FloorAsPrinted(0.1)), []
    for _ in range(500):
        tensors = [torch.zeros(2), torch.zeros(3, 2)]
        steps.apply_(grads_of(tensors))
        assert all((tensor == tensor.flatten()[0]).all() for tensor in tensors)
        drawn += [float(tensor.flatten()[0]) for tensor in tensors]
    assert len(set(drawn)) == len(drawn)
    assert 0 <= min(drawn) < 0.001 and 0.099 < max(drawn) < 0.1
    assert np.mean(drawn) == pytest.approx(0.05, abs=0.005)


def test_weights_without_any_gradient_drift_by_the_sum_of_the_thresholds() -> None:
    start = torch.zeros(3, dtype=torch.float64)
    param = nn.Parameter(start.clone())
    generator = FloorAsPrinted().start(grads_of([torch.zeros(3)]), seed=0)
    drawn = sum(float(0.1 * torch.rand(1, generator=generator)) for _ in range(100))
    optimizer = torch.optim.SGD([param], lr=0.5)
    seen = train(optimizer, lambda: torch.dot(param, 0 * start), 100, FloorAsPrinted(0.1))
    torch.testing.assert_close(seen[-1][0], torch.full((3,), -0.5 * drawn, dtype=torch.float64))


def test_with_a_sign_they_stay_where_they_are() -> None:
    param = nn.Parameter(torch.ones(3))
    seen = train(
        torch.optim.SGD([param], lr=0.5), lambda: torch.dot(param, torch.zeros(3)), 20, FloorSigned(0.1)
    )
    assert torch.equal(seen[-1][0], torch.ones(3))


# Accumulation, as coded


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_doubling_is_the_doubled_learning_rate_to_the_bit(momentum: float, dtype: torch.dtype) -> None:
    def sgd(lr: float) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
        return lambda params: torch.optim.SGD(params, lr=lr, momentum=momentum)

    ours = toy_run(sgd(0.01), 40, DoubleAsCoded(), dtype=dtype)
    doubled = toy_run(sgd(0.02), 40, dtype=dtype)
    plain = toy_run(sgd(0.01), 40, dtype=dtype)
    assert all(is_bit_equal(mine, other) for mine, other in zip(ours, doubled, strict=True))
    assert not is_bit_equal(ours[-1], plain[-1])


@given(gradients())
def test_doubling_adds_the_gradient_to_itself(tensors: list[Tensor]) -> None:
    before = copies(tensors)
    apply_(DoubleAsCoded(), tensors)
    assert is_bit_equal(tensors, [tensor + tensor for tensor in before])


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_doubling_is_nothing_to_adam_from_the_first_step(optimizer: type[torch.optim.Adam]) -> None:
    def adam(eps: float) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
        return lambda params: optimizer(params, lr=1e-3, eps=eps)

    ours, plain = toy_run(adam(1e-30), 40, DoubleAsCoded()), toy_run(adam(1e-30), 40)
    assert is_bit_equal(ours[-1], plain[-1]), "a power of 2 cancels exactly"
    ours, plain = toy_run(adam(1e-8), 40, DoubleAsCoded()), toy_run(adam(1e-8), 40)
    for mine, other in zip(ours[-1], plain[-1], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-4)


def test_turned_on_in_mid_run_it_lengthens_adams_steps_for_a_while() -> None:
    param = nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = torch.optim.Adam([param], lr=1.0)
    toggled = 6000  # by then the second moment has settled
    seen = train(optimizer, param.clone, toggled + 400, DoubleAsCoded(), first_step=toggled + 1)
    path = np.array([float(weights[0]) for weights in seen])
    steps = np.abs(np.diff(path))
    ratio = steps[toggled:] / steps[toggled - 1]
    after = np.arange(1, len(ratio) + 1)  # a constant gradient, doubled: both moments in closed form
    expected = (2 - 0.9**after) / np.sqrt(4 - 3 * 0.999**after)
    np.testing.assert_allclose(ratio, expected, rtol=1e-3)
    assert ratio.max() == pytest.approx(1.88, abs=0.005)
    assert 30 <= int(ratio.argmax()) + 1 <= 40
    assert ratio[-1] < 1.5, "and then the second moment catches up"


# Accumulation, as prose


@given(st.integers(1, 6), SEEDS)
def test_the_step_is_done_with_the_sum_of_all_gradients_so_far(num_steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    steps, total = Steps(HoardAsProse()), torch.zeros(4, 3)
    for _ in range(num_steps):
        grad = torch.randn(4, 3, generator=generator)
        total = total + grad
        steps.apply_(grads_of([grad, torch.ones(())]))
        assert torch.equal(grad, total)
    assert steps.memory["1"] == num_steps


@pytest.mark.parametrize(("lr", "curvature"), [(0.01, 1.0), (0.001, 0.3), (0.0004, 25.0)])
def test_in_a_bowl_the_weights_swing_for_ever(lr: float, curvature: float) -> None:
    param = nn.Parameter(torch.ones((), dtype=torch.float64))
    period = 2 * math.pi / math.sqrt(lr * curvature)
    optimizer = torch.optim.SGD([param], lr=lr)
    num_steps = round(10.5 * period)
    seen = train(optimizer, lambda: 0.5 * curvature * param.square(), num_steps, HoardAsProse())
    path = np.array([float(weights[0]) for weights in seen])
    rises = np.flatnonzero((path[:-1] < 0) & (path[1:] >= 0))
    assert np.diff(rises).mean() == pytest.approx(period, rel=0.01)
    a_period = round(period)
    assert np.abs(path[-a_period:]).max() == pytest.approx(np.abs(path[:a_period]).max(), rel=0.01)


def test_a_weight_without_a_gradient_keeps_its_sum_for_the_next() -> None:
    steps = Steps(HoardAsProse())
    for names in (["a", "b"], ["b"], ["a", "b"]):
        grads = grads_of([torch.ones(2) for _ in names])
        grads.names = names
        steps.apply_(grads)
    assert [tensor.tolist() for tensor in grads.tensors] == [[2.0, 2.0], [3.0, 3.0]]
