from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recurrent_tasks import in_double, net, task_of
from torch import Tensor, nn

from vgrad.measure.hidden_gradients import hidden_gradients, is_recurrent, ratio, spectral_radius, time_slope
from vgrad.measure.unroll import unroll
from vgrad.recipes.models.recurrent import RecurrentNet
from vgrad.task import Microbatch

CPU = torch.device("cpu")
DOUBLE = torch.float64
CELLS = ("rnn", "relu", "lstm", "gru")


def layers(cell: str, num_layers: int = 2, *, bias: bool = True) -> nn.RNNBase:
    settings: dict[str, Any] = {"num_layers": num_layers, "batch_first": True, "bias": bias, "dtype": DOUBLE}
    match cell:
        case "rnn" | "relu":
            return nn.RNN(3, 4, nonlinearity="relu" if cell == "relu" else "tanh", **settings)
        case "lstm":
            return nn.LSTM(3, 4, **settings)
        case _:
            return nn.GRU(3, 4, **settings)


# The unrolled steps are the fused layer.


@pytest.mark.parametrize("cell", CELLS)
@given(
    seed=st.integers(0, 999),
    batch=st.integers(1, 3),
    seq_len=st.integers(1, 6),
    num_layers=st.integers(1, 3),
    bias=st.booleans(),
)
def test_unrolled_layers_equal_torchs_in_value_and_gradient(
    cell: str, seed: int, batch: int, seq_len: int, num_layers: int, bias: bool
) -> None:
    torch.manual_seed(seed)
    rnn = layers(cell, num_layers, bias=bias)
    inputs = torch.randn(batch, seq_len, 3, dtype=DOUBLE, requires_grad=True)
    weights = torch.randn(batch, seq_len, 4, dtype=DOUBLE)
    wanted = [inputs, *rnn.parameters()]
    fused, last = rnn(inputs)
    hiddens = unroll(rnn, inputs)
    unrolled = torch.stack(hiddens[-1], dim=1)
    torch.testing.assert_close(unrolled, fused)
    ends = last[0] if isinstance(last, tuple) else last
    torch.testing.assert_close(torch.stack([states[-1] for states in hiddens]), ends)
    expected = torch.autograd.grad((fused * weights).sum(), wanted)
    torch.testing.assert_close(torch.autograd.grad((unrolled * weights).sum(), wanted), expected)


def test_what_does_not_unroll_is_refused() -> None:
    inputs = torch.zeros(1, 2, 3)
    for rnn in (nn.RNN(3, 4), nn.GRU(3, 4, batch_first=True, bidirectional=True)):
        with pytest.raises(ValueError, match="only batch_first layers of one direction"):
            unroll(rnn, inputs)


@pytest.mark.parametrize(
    "name", ["charlm-rnn", "charlm-lstm", "charlm-gru", "temporal-order", "adding-gates"]
)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_models_unrolled_outputs_are_its_outputs(name: str, layer_norm: bool) -> None:
    task = task_of(name, hidden=6, layers=2, layer_norm=layer_norm)
    inputs = task.validation.inputs[:4]
    outputs, hiddens = net(task).unrolled(inputs)
    torch.testing.assert_close(outputs, task.model(inputs), rtol=1e-4, atol=1e-5)
    assert [len(states) for states in hiddens] == [inputs.shape[1]] * 2


# dE/dh_t.


def output_with_shift(model: RecurrentNet, inputs: Tensor, layer: int, t: int, shift: Tensor) -> Tensor:
    """The model's output with ``shift`` added to h_t of a layer: torch's own layers, stopped there."""
    below = model.embed(inputs)
    for index in range(model.rnn.num_layers):
        alone = layer_alone(model.rnn, index)
        if index != layer:
            below, _ = alone(below)
            continue
        early, state = alone(below[:, : t + 1])
        early[:, -1] += shift
        state = (state[0] + shift, state[1]) if isinstance(state, tuple) else state + shift
        is_last = t + 1 == below.shape[1]
        below = early if is_last else torch.cat([early, alone(below[:, t + 1 :], state)[0]], dim=1)
    outputs: Tensor = model.head(below if model.every_step else below[:, -1])
    return outputs


def layer_alone(rnn: nn.RNNBase, index: int) -> nn.RNNBase:
    size = rnn.input_size if index == 0 else rnn.hidden_size
    alone = type(rnn)(size, rnn.hidden_size, batch_first=True, dtype=DOUBLE)
    weights = rnn.state_dict()
    alone.load_state_dict({name: weights[f"{name[:-1]}{index}"] for name in alone.state_dict()})
    return alone


@pytest.mark.parametrize("name", ["adding-gates", "temporal-order", "charlm-rnn"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_hidden_gradients_are_those_of_finite_differences(name: str, cell: str) -> None:
    seq_len = 3 if name == "charlm-rnn" else 10
    task = in_double(task_of(name, hidden=2, layers=2, seq_len=seq_len, cell=cell), batch_size=2)
    model, batch, step = net(task), task.validation, 1e-5

    def loss(layer: int, t: int, shift: Tensor) -> Tensor:
        return task.loss(output_with_shift(model, batch.inputs, layer, t, shift), batch.targets)

    with torch.no_grad():
        squares = torch.zeros(2, seq_len, dtype=DOUBLE)
        for layer, t in np.ndindex(2, seq_len):
            for entry in np.ndindex(2, 2):
                shift = torch.zeros(2, 2, dtype=DOUBLE)
                shift[entry] = step
                change = loss(layer, t, shift) - loss(layer, t, -shift)
                squares[layer, t] += (change / (2 * step)) ** 2
    torch.testing.assert_close(hidden_gradients(task, batch), squares.sqrt(), rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_hidden_gradients_need_nothing_that_is_trained(cell: str) -> None:
    task = task_of("adding-gates", hidden=4, layers=2, cell=cell)
    expected = hidden_gradients(task, task.validation)
    task.model.requires_grad_(False)
    torch.testing.assert_close(hidden_gradients(task, task.validation), expected)


@pytest.mark.parametrize("no_grad", [False, True])
def test_looking_through_time_changes_nothing(no_grad: bool) -> None:
    task = task_of("charlm-rnn", hidden=8)
    batch = task.stream.next()
    task.loss_of(batch).backward()
    before = copy.deepcopy([(param.detach(), param.grad) for param in task.model.parameters()])
    rng, position = torch.get_rng_state(), task.stream.state_dict()
    task.model.eval()
    with torch.set_grad_enabled(not no_grad):
        norms = hidden_gradients(task, batch)
    assert norms.shape == (1, 64)
    assert not norms.requires_grad
    for param, (weight, grad) in zip(task.model.parameters(), before, strict=True):
        assert torch.equal(param, weight)
        assert param.grad is not None
        assert grad is not None
        assert torch.equal(param.grad, grad)
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(task.stream.state_dict()["generator"], position["generator"])
    assert not task.model.training


def test_small_gradients_are_not_squared_away() -> None:
    """Their squares are below float32's smallest number; the norms are not."""
    task, double = task_of("temporal-order", seq_len=60), task_of("temporal-order", seq_len=60)
    in_double(double, batch_size=5)
    for each in (task, double):
        with torch.no_grad():
            each.model.get_parameter("rnn.weight_hh_l0").mul_(0.2)
    batch = double.validation
    single = hidden_gradients(task, Microbatch(batch.inputs, batch.targets, num_tokens=0, num_samples=5))
    exact = hidden_gradients(double, batch)
    small = (exact > 1e-35) & (exact < 1e-23)
    assert small.sum() > 5
    torch.testing.assert_close(single[small].double(), exact[small], rtol=1e-3, atol=0)


def test_models_without_time_have_no_hidden_gradients() -> None:
    task = task_of("depth-tanh")
    assert not is_recurrent(task.model)
    assert is_recurrent(task_of("charlm-gru").model)
    with pytest.raises(TypeError, match="DeepMLP has no hidden states over time"):
        hidden_gradients(task, task.validation)


# What is read from the norms.


@given(
    st.floats(-3, 3), st.floats(-20, 5), st.integers(2, 60), st.sets(st.integers(0, 59)), st.integers(1, 3)
)
def test_the_slope_of_a_geometric_sequence_is_its_rate_whatever_is_missing(
    rate: float, last: float, seq_len: int, gaps: set[int], num_layers: int
) -> None:
    backwards = np.arange(seq_len)[::-1]
    norms = 10.0 ** (last + rate * backwards)
    for t in gaps & set(range(2, seq_len)):
        norms[t] = (0.0, np.nan, np.inf)[t % 3]
    expected = pytest.approx(rate, abs=1e-9)
    assert time_slope(norms) == expected
    assert time_slope(np.tile(norms, (num_layers, 1))) == expected
    if not gaps:
        assert ratio(norms) == pytest.approx(10.0 ** (rate * (seq_len - 1)))
        assert ratio(torch.tensor(norms)) == ratio(norms)


@pytest.mark.parametrize("norms", [[], [1.0], [0.0, 0.0, 0.0], [np.nan, 1.0], [np.inf, np.nan, 0.0, 2.0]])
def test_too_few_norms_tell_no_slope(norms: list[float]) -> None:
    assert math.isnan(time_slope(norms))


def test_a_ratio_says_when_nothing_arrives_and_when_it_does_not_know() -> None:
    assert ratio([0.0, 1.0]) == 0.0
    assert ratio([3.0]) == 1.0
    for unknown in ([], [1.0, 0.0], [np.nan, 1.0], [1.0, np.inf]):
        assert math.isnan(ratio(unknown))


@given(st.integers(1, 20), st.integers(0, 99))
def test_the_spectral_radius_is_the_largest_absolute_eigenvalue(size: int, seed: int) -> None:
    matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, size)))
    expected = np.abs(np.linalg.eigvals(matrix.numpy())).max()
    assert spectral_radius(matrix) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_above_256_rows_it_is_an_estimate(seed: int) -> None:
    matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(300, 300)) / 300**0.5)
    exact = float(torch.linalg.eigvals(matrix).abs().max())
    assert spectral_radius(matrix) == pytest.approx(exact, rel=0.02)
    assert spectral_radius(1e3 * matrix) == pytest.approx(1e3 * exact, rel=0.02)


def test_spectral_radius_of_odd_matrices() -> None:
    assert spectral_radius(torch.zeros(300, 300)) == 0.0
    assert spectral_radius(torch.zeros(0, 0)) == 0.0
    assert spectral_radius(torch.eye(400)) == pytest.approx(1.0)
    assert math.isnan(spectral_radius(torch.tensor([[1.0, math.nan], [0.0, 1.0]])))
