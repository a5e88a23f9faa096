"""Gradients through time: how the loss depends on each hidden state of a recurrent model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from vgrad.gradients.module_tree import named_modules, own_params
from vgrad.measure.unroll import Hiddens

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from vgrad.task import Microbatch, Task

_EXACT_UP_TO = 256  # rows; exact eigenvalues of 256 took 0.05 s of CPU time, of 512 0.4 s
_NUM_POWERS = 200
_GATES = {nn.LSTM: 4, nn.LSTMCell: 4, nn.GRU: 3, nn.GRUCell: 3}


class RecurrentModel(Protocol):
    """A model that can be run step by step; see `RecurrentNet.unrolled`."""

    rnn: nn.RNNBase

    def unrolled(self, inputs: Tensor) -> tuple[Tensor, Hiddens]:
        """Return outputs and ``hiddens[layer][t]``."""


def is_recurrent(model: object) -> TypeGuard[RecurrentModel]:
    """Whether `hidden_gradients` can look into ``model``: whether it has ``rnn`` and ``unrolled``."""
    # Not a runtime-checkable protocol: from Python 3.12 on those do not see a module's submodules.
    return isinstance(getattr(model, "rnn", None), nn.RNNBase) and hasattr(model, "unrolled")


def hidden_gradients(task: Task, batch: Microbatch) -> Tensor:
    """Return ‖dE/dh_t‖ for every recurrent layer and step.

    The whole derivative: through the output at t and through all later states. A forward and a
    backward of its own, always in float32; no weight, no ``p.grad``, no random state
    and no mode changes.

    Args:
        task: Its model must be recurrent, see `is_recurrent`.
        batch: What to look at.

    Returns:
        L2 norms over batch and units, shape ``(num_layers, seq_len)``, on the model's device and not
        read back; t = 0 is the first input step. Exact down to the type's smallest numbers: they
        are scaled before they are squared.

    Raises:
        TypeError: If the model is not recurrent.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, eqs. 4-5.
    """
    model = require_recurrent(task.model)
    with torch.enable_grad():
        outputs, hiddens = model.unrolled(batch.inputs)
        loss = task.loss(outputs, batch.targets)
        flat = torch.autograd.grad(loss, [state for states in hiddens for state in states])
    seq_len = len(hiddens[0])
    by_layer = [flat[start : start + seq_len] for start in range(0, len(flat), seq_len)]
    stacked = torch.stack([torch.stack(layer) for layer in by_layer])  # (num_layers, seq_len, batch, hidden)
    largest = stacked.abs().amax(dim=(-2, -1), keepdim=True)
    scale = torch.where(largest > 0, largest, torch.ones_like(largest))
    norms: Tensor = torch.linalg.vector_norm(stacked / scale, dim=(-2, -1)) * scale[..., 0, 0]
    return norms


def require_recurrent(model: object) -> RecurrentModel:
    """Return ``model``.

    Raises:
        TypeError: If it is not recurrent.
    """
    if not is_recurrent(model):
        raise TypeError(f"{type(model).__name__} has no hidden states over time: only recurrent models have")
    return model


def recurrent_matrices(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the hidden-to-hidden matrices of all recurrent layers in ``model``.

    Args:
        model: Any model; `nn.RNN`, `nn.LSTM`, `nn.GRU` and their cells in it count.

    Returns:
        Name and detached view, shape ``(hidden_size, hidden_size)``, of each, in the model's order.
        LSTM and GRU have one per gate, ``rnn.weight_hh_l0[0]`` and so on, in torch's order: input,
        forget, cell, output; or reset, update, new. Writing to a view changes the model. A tied
        matrix comes once; layers with a projection, whose matrix is not square, do not come.
    """
    found: list[tuple[str, Tensor]] = []
    seen: set[int] = set()
    for prefix, module in named_modules(model):
        if not isinstance(module, nn.RNNBase | nn.RNNCellBase):
            continue
        for name, param in own_params(module):
            is_square = param.dim() == 2 and param.shape[1] == module.hidden_size
            if not name.startswith("weight_hh") or not is_square or id(param) in seen:
                continue
            seen.add(id(param))
            whole = f"{prefix}.{name}" if prefix else name
            gates = _GATES.get(type(module), 1)
            views = param.detach().chunk(gates)
            found += [(whole if gates == 1 else f"{whole}[{i}]", view) for i, view in enumerate(views)]
    return found


def time_slope(norms: ArrayLike | Tensor) -> float:
    """Return by how many decades ‖dE/dh_t‖ changes per step backwards in time.

    Least squares of log10. Below 0 the gradient vanishes on its way back, above 0 it explodes.

    Args:
        norms: Shape ``(seq_len,)`` or ``(num_layers, seq_len)``; of several layers the joint norm of
            each step counts. On the CPU if a tensor. Norms that are zero or not finite are
            left out.

    Returns:
        Decades per step, or NaN if fewer than two norms are left.
    """
    joint = _joint(norms)
    usable = np.flatnonzero(np.isfinite(joint) & (joint > 0))
    if len(usable) < 2:
        return math.nan
    steps = usable - usable.mean()
    logs = np.log10(joint[usable])
    return -float(steps @ (logs - logs.mean()) / (steps @ steps))


def ratio(norms: ArrayLike | Tensor) -> float:
    """Return ‖dE/dh_t‖ at the first step over that at the last.

    Args:
        norms: As for `time_slope`.

    Returns:
        0 if the gradient at the first step is zero; NaN if either is not finite or the last one is 0.
    """
    joint = _joint(norms)
    if len(joint) == 0 or not np.isfinite(joint[[0, -1]]).all() or joint[-1] == 0:
        return math.nan
    return float(joint[0] / joint[-1])


def _joint(norms: ArrayLike | Tensor) -> NDArray[np.float64]:
    table = np.atleast_2d(np.asarray(norms, dtype=np.float64))
    joint: NDArray[np.float64] = np.hypot.reduce(table, axis=0)  # squares could overflow or underflow
    return joint


def spectral_radius(matrix: Tensor) -> float:
    """Return the largest absolute eigenvalue: below 1 a linear recurrence forgets, above it blows up.

    Args:
        matrix: Shape ``(n, n)``. Copied to the host, so not for every step.

    Returns:
        Exact up to n = 256. Above, an estimate: the growth per product of a random block of 4
        vectors over the second half of 200 products, 0.4 % off at
        most on the 12 Gaussian matrices we tried. 0 for n = 0; NaN for
        entries that are not finite.

    Source:
        Gelfand's formula; Golub & Van Loan, Matrix Computations, section 7.3.
    """
    host = matrix.detach().to("cpu", torch.float64)
    if host.numel() == 0:
        return 0.0
    if not bool(host.isfinite().all()):
        return math.nan
    if len(host) <= _EXACT_UP_TO:
        return float(torch.linalg.eigvals(host).abs().max())
    return _growth(host.float())


def _growth(matrix: Tensor) -> float:
    block = torch.randn(len(matrix), 4, generator=torch.Generator().manual_seed(0), device="cpu")
    grown = 0.0
    for power in range(_NUM_POWERS):
        block = matrix @ block
        norm = float(block.norm())
        if norm == 0:
            return 0.0
        if power >= _NUM_POWERS // 2:
            grown += math.log(norm)
        block /= norm
    return math.exp(grown / (_NUM_POWERS - _NUM_POWERS // 2))
