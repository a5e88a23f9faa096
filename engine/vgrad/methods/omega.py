"""Pascanu's Ω: a penalty on gradients that vanish, or grow, on their way back through time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.validation import positive_float

if TYPE_CHECKING:
    from torch import Tensor, nn

_TOO_SMALL = 1e-20  # squared norm below which a gradient says nothing about its ratio


@dataclass(frozen=True, slots=True)
class Omega:
    """Add ``alpha`` times the gradient of Ω, which is 0 where backpropagation keeps norms.

    Args:
        alpha: Weight of the regulariser; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``alpha`` is not a number in that range.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, equations 9 and 10.
    """

    alpha: float = 4.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", positive_float("omega", self.alpha))


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
    import torch

    hiddens, grads = hiddens.detach(), grads.detach()
    steepness = 1 - hiddens**2 if activation == "tanh" else (hiddens > 0).to(hiddens.dtype)
    back = ((grads * steepness) @ weight_hh).square().sum(-1)  # (seq_len, batch)
    there = grads.square().sum(-1)
    counts = there >= _TOO_SMALL
    ratio = torch.where(counts, back / torch.where(counts, there, 1.0), 1.0)
    valid = counts.to(hiddens.dtype).mean(1).sum()
    return (ratio - 1).square().mean(1).sum() / torch.where(valid > 0, valid, 1.0)


def omega_backward(
    rnn: nn.RNNBase,
    unrolled: Callable[[], tuple[Tensor, Sequence[Sequence[Tensor]]]],
    loss_fn: Callable[[Tensor], Tensor],
) -> tuple[Tensor, dict[nn.Parameter, Tensor]]:
    """Run forward and backward, and compute dΩ/dW_hh of each recurrent matrix beside them.

    In place of ``loss.backward()``; the caller adds α times Ω's gradients before clipping, the authors with
    α = 4. It helps against gradients that vanish in time; those that explode need clipping beside it.

    Args:
        rnn: The recurrent layers, a tanh or ReLU ``nn.RNN``.
        unrolled: Runs the forward pass step by step, and returns the outputs and ``hiddens[layer][t]``.
        loss_fn: Mean loss of the outputs, 0-d.

    Returns:
        The mean loss, 0-d, without Ω, not read back; ``p.grad`` of all parameters has been added to.
        And Ω's gradient by recurrent matrix; one that is not trained has none.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 3.3.
    """
    outputs, hiddens = unrolled()
    for states in hiddens:
        for state in states:
            state.retain_grad()
    loss = loss_fn(outputs)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    activation = str(rnn.nonlinearity)
    gradients = {}
    for layer, states in enumerate(hiddens):
        weight = getattr(rnn, f"weight_hh_l{layer}")
        if weight.requires_grad:
            gradients[weight] = _gradient(weight, states, activation)
    return loss.detach(), gradients


def _gradient(weight: Tensor, hiddens: Sequence[Tensor], activation: str) -> Tensor:
    """dΩ/dW, with everything but W held fixed."""
    import torch

    weight = weight.detach().requires_grad_()
    grads = [state.grad if state.grad is not None else torch.zeros_like(state) for state in hiddens]
    with torch.no_grad():
        constants = torch.stack(list(hiddens)), torch.stack(grads)
    with torch.enable_grad():
        value = omega(weight, *constants, activation)
    return torch.autograd.grad(value, weight)[0]
