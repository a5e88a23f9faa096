"""Initial weights: drawn from a seed alone, by a scheme that has a name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.measure.hidden_gradients import recurrent_matrices
from vgrad.methods.init_schemes import INITS, REINITS
from vgrad.validation import brief


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let what is drawn inside come from ``seed``, and leave the global random state as it was.

    Only the CPU generator takes part (`torch.manual_seed` would reseed every accelerator too), so
    build inside and move afterwards: the weights are then the same on all devices.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def init_weights_(module: nn.Module, scheme: str) -> None:
    """Initialise all matrices of ``module`` by ``scheme`` and zero its vectors.

    Args:
        module: Its parameters are changed in place; draws from the global CPU generator.
        scheme: One of `INITS`: ``xavier`` (uniform, gain 1), ``he`` (normal, for ReLU),
            ``orthogonal``, ``normal`` (standard deviation 0.1), or ``torch``, which keeps what
            PyTorch has drawn.

    Raises:
        ValueError: If there is no such scheme.

    Source:
        Glorot & Bengio 2010, eq. 16; He et al. 2015, arXiv:1502.01852, eq. 10; Saxe et al. 2013,
        arXiv:1312.6120; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 4.1 (``normal``).
    """
    if scheme not in INITS:
        raise ValueError(f"no initialisation is called {scheme!r}")
    if scheme == "torch":
        return
    for param in module.parameters():
        _init_(param, scheme)


def reinit_(model: nn.Module, scheme: str, *, seed: int) -> None:
    """Re-initialise the weights of a live model in place, between two steps.

    Parameters stay the same objects, so hooks and the optimizer keep working; the optimizer's own
    memory (momentum, averages) stays too, and is of the old weights. The same seed gives the same
    weights on every device.

    Args:
        model: Any model.
        scheme: One of `REINITS`. ``torch`` is what PyTorch draws for each module; ``xavier``, ``he``,
            ``orthogonal`` and ``normal`` are those of `init_weights_` for every weight matrix,
            while biases become zero, and embeddings and norms, which are no matrix products, start
            as PyTorch starts them. ``hh-orthogonal`` and ``hh-identity`` change nothing but the
            hidden-to-hidden matrices of recurrent layers, those of LSTM and GRU gate by gate.
        seed: Of an own random state; the global one is left as it was.

    Raises:
        ConfigError: If there is no such scheme, or if there is no recurrent matrix for it.

    Source:
        Le, Jaitly & Hinton 2015, arXiv:1504.00941 (identity); see `init_weights_` for the others.
    """
    if scheme not in REINITS:
        raise ConfigError(f"init must be one of {', '.join(REINITS)}, got {brief(scheme)}")
    matrices = recurrent_matrices(model)
    if scheme.startswith("hh-") and not matrices:
        raise ConfigError(
            f"{scheme} is for hidden-to-hidden matrices and this model has none: it needs an RNN, LSTM or GRU"
        )
    with seeded(seed), torch.no_grad():
        match scheme:
            case "hh-orthogonal":
                for _, matrix in matrices:
                    matrix.copy_(_orthogonal(matrix))
            case "hh-identity":
                for _, matrix in matrices:
                    nn.init.eye_(matrix)
            case _:
                with _on_cpu(model):
                    _reinit_(model, scheme)


def _reinit_(model: nn.Module, scheme: str) -> None:
    for module in reversed(list(model.modules())):  # a module may draw for its parts: it comes after them
        _reset_(module)
    if scheme == "torch":
        return
    drawn: set[int] = set()  # a tied weight is drawn once
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) or all(param.dim() < 2 for param in own):
            continue
        for param in own:
            if id(param) not in drawn:
                _init_(param, scheme)
        drawn.update(map(id, own))


def _reset_(module: nn.Module) -> None:
    """Let a module draw its weights as it did when it was made; one that does not say how keeps them."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()


@contextmanager
def _on_cpu(model: nn.Module) -> Iterator[None]:
    """Let what is written into the parameters inside be drawn on the CPU: devices draw other numbers."""
    away = [(param, param.data) for param in model.parameters() if param.device.type != "cpu"]
    try:
        for param, data in away:
            param.data = data.cpu()
        yield
    finally:
        for param, data in away:
            data.copy_(param.data)
            param.data = data


def _init_(param: Tensor, scheme: str) -> None:
    if param.dim() < 2:
        nn.init.zeros_(param)
        return
    match scheme:
        case "xavier":
            nn.init.xavier_uniform_(param)
        case "he":
            nn.init.kaiming_normal_(param, nonlinearity="relu")
        case "orthogonal":
            with torch.no_grad():
                param.copy_(_orthogonal(param))
        case "normal":
            nn.init.normal_(param, std=0.1)


def _orthogonal(like: Tensor) -> Tensor:
    """A drawn matrix of the shape of ``like``, on the CPU; in float32 at least, for half types have no QR."""
    return nn.init.orthogonal_(
        torch.empty(like.shape, dtype=torch.promote_types(like.dtype, torch.float32), device="cpu")
    )
