"""The steps of `torch.nn.RNN`, `LSTM` and `GRU` one by one, with their own parameters.

The fused layers show only the last layer's hidden states, and no gradient of any. Written out,
each hidden state h_t is a tensor that autograd can be asked about: its gradient is dE/dh_t.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Hiddens = list[list[Tensor]]
Step = Callable[[Tensor, Tensor], Tensor]


def unroll(rnn: nn.RNNBase, inputs: Tensor) -> Hiddens:
    """Return every hidden state that ``rnn`` computes, equal to its own to rounding.

    Args:
        rnn: An `nn.RNN`, `nn.LSTM` or `nn.GRU`: ``batch_first``, one direction, no dropout, no projection.
        inputs: Shape ``(batch, seq_len, input_size)``.

    Returns:
        ``hiddens[layer][t]``, each of shape ``(batch, hidden_size)``. Where gradients are on, all of
        them have one, even if no weight is trained.

    Raises:
        ValueError: If ``rnn`` is of another kind.
    """
    if rnn.bidirectional or rnn.dropout or rnn.proj_size or not rnn.batch_first:
        raise ValueError("only batch_first layers of one direction, without dropout or projection, unroll")
    hiddens: Hiddens = []
    below = inputs
    for layer in range(rnn.num_layers):
        step, fed = _cell(rnn, layer, below)
        hidden = fed.new_zeros(len(fed), rnn.hidden_size).requires_grad_(torch.is_grad_enabled())
        states = []
        # Taking fed[:, t] each time would make a gradient of the whole sequence per step.
        for x in fed.unbind(1):
            hidden = step(x, hidden)
            states.append(hidden)
        hiddens.append(states)
        if layer + 1 < rnn.num_layers:
            below = torch.stack(states, dim=1)
    return hiddens


def _cell(rnn: nn.RNNBase, layer: int, below: Tensor) -> tuple[Step, Tensor]:
    """A layer's step from (what its input feeds it, h_{t-1}) to h_t, and what all its inputs feed it."""
    weight_ih, weight_hh = getattr(rnn, f"weight_ih_l{layer}"), getattr(rnn, f"weight_hh_l{layer}")
    bias_ih: Tensor | None = getattr(rnn, f"bias_ih_l{layer}", None)  # torch has none without bias
    bias_hh: Tensor | None = getattr(rnn, f"bias_hh_l{layer}", None)
    if isinstance(rnn, nn.GRU):
        return _gru(weight_hh, bias_hh), F.linear(below, weight_ih, bias_ih)
    # Both biases for all steps at once: a step is then a single product, with its sum.
    bias = None if bias_ih is None or bias_hh is None else bias_ih + bias_hh
    fed = F.linear(below, weight_ih, bias)
    back = weight_hh.t()
    match rnn:
        case nn.RNN():
            activation = torch.relu if rnn.nonlinearity == "relu" else torch.tanh
            return lambda x, hidden: activation(torch.addmm(x, hidden, back)), fed
        case nn.LSTM():
            return _lstm(back), fed
    raise ValueError(f"cannot unroll a {type(rnn).__name__}")


def _lstm(back: Tensor) -> Step:
    """The step of `torch.nn.LSTM`'s equations. It keeps the cell state c_t of one unrolling to itself."""
    cell: Tensor | None = None

    def step(x: Tensor, hidden: Tensor) -> Tensor:
        nonlocal cell
        into, forget, candidate, out = torch.addmm(x, hidden, back).chunk(4, dim=-1)
        new = torch.sigmoid(into) * torch.tanh(candidate)
        cell = new if cell is None else torch.sigmoid(forget) * cell + new
        return torch.sigmoid(out) * torch.tanh(cell)

    return step


def _gru(weight_hh: Tensor, bias_hh: Tensor | None) -> Step:
    """The step of `torch.nn.GRU`'s equations: the reset gate acts after the recurrent product."""

    def step(x: Tensor, hidden: Tensor) -> Tensor:
        x_reset, x_update, x_new = x.chunk(3, dim=-1)
        h_reset, h_update, h_new = F.linear(hidden, weight_hh, bias_hh).chunk(3, dim=-1)
        new = torch.tanh(x_new + torch.sigmoid(x_reset + h_reset) * h_new)
        return new + torch.sigmoid(x_update + h_update) * (hidden - new)

    return step
