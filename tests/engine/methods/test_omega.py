"""Pascanu's Ω: its value, its gradient, and what of a model it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.recurrent_tasks import in_double, net, task_of
from torch import Tensor, nn

import vgrad
from vgrad.errors import ConfigError
from vgrad.methods.omega import omega, omega_backward
from vgrad.task import Microbatch, Task
from vgrad.train.capabilities import capabilities_of

DOUBLE = torch.float64


def gradients(task: Task, backward: Callable[[], object]) -> dict[str, Tensor]:
    """What ``backward`` leaves in ``p.grad``, from none."""
    task.optimizer.zero_grad()
    backward()
    return {
        name: param.grad.clone() for name, param in task.model.named_parameters() if param.grad is not None
    }


def omega_in_plain_numpy(weight: Tensor, hiddens: Tensor, grads: Tensor, activation: str) -> float:
    """Eqs. 9-10, one step and one sample at a time."""
    w, h, d = weight.numpy(), hiddens.numpy(), grads.numpy()
    total, share = 0.0, 0.0
    for t in range(len(h)):
        for b in range(h.shape[1]):
            steepness = 1 - h[t, b] ** 2 if activation == "tanh" else (h[t, b] > 0).astype(float)
            u = w.T @ np.diag(steepness) @ d[t, b]
            if d[t, b] @ d[t, b] >= 1e-20:
                total += (u @ u / (d[t, b] @ d[t, b]) - 1) ** 2 / h.shape[1]
                share += 1 / h.shape[1]
    return total / share if share else 0.0


@given(
    seed=st.integers(0, 9999),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4)),
    activation=st.sampled_from(["tanh", "relu"]),
    silent=st.sets(st.integers(0, 3)),
)
def test_omega_and_its_gradient_with_everything_but_the_matrix_held_fixed(
    seed: int, shape: tuple[int, int, int], activation: str, silent: set[int]
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hiddens, grads = (torch.randn(shape, generator=generator, dtype=DOUBLE) for _ in range(2))
    hiddens = hiddens.tanh() if activation == "tanh" else hiddens.relu()
    for t in silent & set(range(shape[0])):
        grads[t] *= 1e-12
    weight = torch.randn(shape[-1], shape[-1], generator=generator, dtype=DOUBLE, requires_grad=True)
    value = omega(weight, hiddens, grads, activation)
    expected = omega_in_plain_numpy(weight.detach(), hiddens, grads, activation)
    assert value.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)

    (gradient,) = torch.autograd.grad(value, weight)
    step = 1e-6
    for entry in np.ndindex(*weight.shape):
        shifted = []
        for sign in (1, -1):
            moved = weight.detach().clone()
            moved[entry] += sign * step
            shifted.append(omega_in_plain_numpy(moved, hiddens, grads, activation))
        slope_by_hand = (shifted[0] - shifted[1]) / (2 * step)
        assert gradient[entry].item() == pytest.approx(slope_by_hand, rel=1e-4, abs=1e-4 * (1 + expected))


def test_an_orthogonal_linear_path_has_no_omega() -> None:
    weight = nn.init.orthogonal_(torch.empty(5, 5, dtype=DOUBLE))
    hiddens, grads = torch.ones(3, 2, 5, dtype=DOUBLE), torch.randn(3, 2, 5, dtype=DOUBLE)
    assert omega(weight, hiddens, grads, "relu").item() == pytest.approx(0, abs=1e-20)
    assert omega(2 * weight, hiddens, grads, "relu").item() == pytest.approx(9)  # (2² - 1)²


def backward(task: Task, batch: Microbatch) -> tuple[Tensor, dict[nn.Parameter, Tensor]]:
    model = net(task)
    return omega_backward(
        model.rnn, lambda: model.unrolled(batch.inputs), lambda outputs: task.loss(outputs, batch.targets)
    )


def add_omega(task: Task, batch: Microbatch, alpha: float) -> Tensor:
    loss, extras = backward(task, batch)
    for param, extra in extras.items():
        assert param.grad is not None
        param.grad.add_(extra, alpha=alpha)
    return loss


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", ["temporal-order", "charlm-rnn"])
def test_omega_is_added_to_the_recurrent_gradients_alone(name: str, activation: str) -> None:
    task = in_double(task_of(name, hidden=5, layers=2, seq_len=12, activation=activation), batch_size=3)
    batch = task.validation
    plain, without, with_omega = (
        gradients(task, lambda: task.loss_of(batch).backward()),
        gradients(task, lambda: backward(task, batch)),
        gradients(task, lambda: add_omega(task, batch, 4.0)),
    )
    torch.testing.assert_close(without, plain)
    model = net(task)
    outputs, hiddens = model.unrolled(batch.inputs)
    found = torch.autograd.grad(
        task.loss(outputs, batch.targets), [state for states in hiddens for state in states]
    )
    for key, value in with_omega.items():
        if "weight_hh" not in key:
            assert torch.equal(value, without[key])
            continue
        layer = int(key[-1])
        weight = model.get_parameter(key).detach().clone().requires_grad_()
        d = torch.stack(found[layer * 12 : (layer + 1) * 12])
        omega(weight, torch.stack(hiddens[layer]), d, activation).backward()
        assert weight.grad is not None
        torch.testing.assert_close(value, without[key] + 4.0 * weight.grad)


def test_omega_backward_returns_the_loss_and_adds_to_gradients_that_are_there() -> None:
    task = in_double(task_of("temporal-order", hidden=4), batch_size=3)
    batch = task.validation
    once = gradients(task, lambda: add_omega(task, batch, 2.0))
    loss = add_omega(task, batch, 2.0)  # a second time, onto the first
    torch.testing.assert_close(loss, task.loss_of(batch))
    for key, param in task.model.named_parameters():
        torch.testing.assert_close(param.grad, 2 * once[key])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("charlm-lstm", {}, "is for a tanh or ReLU RNN, not for an LSTM"),
        ("adding-gates", {"cell": "gru"}, "not for a GRU"),
        ("depth-tanh", {}, "needs a recurrent model"),
    ],
)
def test_where_there_is_no_omega(name: str, options: dict[str, Any], message: str) -> None:
    task = task_of(name, **options)
    assert message in capabilities_of(task.model).why_not("omega")
    with pytest.raises(ConfigError, match="omega: .*" + message):
        vgrad.build(name, device="cpu", omega=4.0, options=options)
