"""Pascanu's Ω: a penalty on gradients that vanish, or grow, on their way back through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.measure.hidden_gradients import is_recurrent

if TYPE_CHECKING:
    from vgrad.measure.hidden_gradients import RecurrentModel
    from vgrad.task import Microbatch, Task

_TOO_SMALL = 1e-20  # squared norm below which a gradient says nothing about its ratio


def omega(weight_hh: Tensor, hiddens: Tensor, grads: Tensor, activation: str) -> Tensor:
    """Return Ω of one recurrent layer, 0-d: 0 if each step back keeps the gradient's length.

    With a_t what goes into the activation, u_t = (dE/dh_t ⊙ dh_t/da_t) W_hh is the part of the gradient
    that goes back to h_{t-1}, and r_t = ‖u_t‖²/‖dE/dh_t‖², or 1 where ‖dE/dh_t‖² < 1e-20. Then
    Ω = Σ_t mean_b (r_t - 1)² / Σ_t (share of the batch that is not too small).

    Args:
        weight_hh: Shape ``(hidden, hidden)``, as torch stores it: a_t = W_hh h_{t-1} + …
        hiddens: h_t, shape ``(seq_len, batch, hidden)``. A constant here.
        grads: dE/dh_t, same shape. A constant here.
        activation: ``tanh`` or ``relu``.

    Returns:
        Ω, to be differentiated by ``weight_hh`` alone. 0 where all gradients are too small.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, eqs. 9-10, with squared norms and these
        thresholds and means as in the authors' code.
    """
    hiddens, grads = hiddens.detach(), grads.detach()
    steepness = 1 - hiddens**2 if activation == "tanh" else (hiddens > 0).to(hiddens.dtype)
    back = ((grads * steepness) @ weight_hh).square().sum(-1)  # (seq_len, batch)
    there = grads.square().sum(-1)
    counts = there >= _TOO_SMALL
    ratio = torch.where(counts, back / torch.where(counts, there, 1.0), 1.0)
    valid = counts.to(hiddens.dtype).mean(1).sum()
    return (ratio - 1).square().mean(1).sum() / torch.where(valid > 0, valid, 1.0)


def omega_backward(task: Task, batch: Microbatch) -> tuple[Tensor, dict[nn.Parameter, Tensor]]:
    """Run forward and backward, and work out dΩ/dW_hh of each recurrent matrix beside them.

    In place of ``loss.backward()``; whoever calls it adds α times Ω's gradients before clipping, the
    authors with α = 4. It helps against gradients that vanish in time; those that explode need
    clipping beside it.

    Args:
        task: Its model must consist of a tanh or ReLU RNN.
        batch: What to train on.

    Returns:
        The mean loss, 0-d, without Ω, not read back; ``p.grad`` of all parameters has been added to.
        And Ω's gradient by recurrent matrix; one that is not trained has none.

    Raises:
        ConfigError: If the model is none that has an Ω; says why.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 3.3.
    """
    model = _with_omega(task.model)
    outputs, hiddens = model.unrolled(batch.inputs)
    for states in hiddens:
        for state in states:
            state.retain_grad()
    loss = task.loss(outputs, batch.targets)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    activation = str(model.rnn.nonlinearity)
    gradients = {}
    for layer, states in enumerate(hiddens):
        weight = getattr(model.rnn, f"weight_hh_l{layer}")
        if weight.requires_grad:
            gradients[weight] = _gradient(weight, states, activation)
    return loss.detach(), gradients


def why_no_omega(model: object) -> str | None:
    """Return why ``model`` has no Ω, as the end of a sentence about Ω, or None if it has one."""
    if not is_recurrent(model):
        return "needs a recurrent model: it is about gradients through time"
    if not isinstance(model.rnn, nn.RNN):
        kind = type(model.rnn).__name__
        article = "an" if kind == "LSTM" else "a"
        return f"is for a tanh or ReLU RNN, not for {article} {kind}: its gates are another way back"
    return None


def _with_omega(model: nn.Module) -> RecurrentModel:
    if (reason := why_no_omega(model)) is not None:
        raise ConfigError(f"omega {reason}")
    assert is_recurrent(model)
    return model


def _gradient(weight: Tensor, hiddens: Sequence[Tensor], activation: str) -> Tensor:
    """dΩ/dW, with everything but W held fixed."""
    weight = weight.detach().requires_grad_()
    grads = [state.grad if state.grad is not None else torch.zeros_like(state) for state in hiddens]
    with torch.no_grad():
        constants = torch.stack(list(hiddens)), torch.stack(grads)
    with torch.enable_grad():
        value = omega(weight, *constants, activation)
    return torch.autograd.grad(value, weight)[0]
