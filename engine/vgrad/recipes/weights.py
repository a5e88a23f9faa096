"""Initial weights: drawn from the run's seed alone, by a scheme that has a name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


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
    """Draw all matrices of ``module`` anew by ``scheme`` and zero its vectors.

    Args:
        module: Its parameters are changed in place; draws from the global CPU generator.
        scheme: ``xavier`` (uniform, gain 1), ``he`` (normal, for ReLU), ``orthogonal``, or
            ``torch``, which keeps what PyTorch has drawn.

    Raises:
        ValueError: If there is no such scheme.

    Source:
        Glorot & Bengio 2010, eq. 16; He et al. 2015, arXiv:1502.01852, eq. 10; Saxe et al. 2013,
        arXiv:1312.6120.
    """
    if scheme == "torch":
        return
    for param in module.parameters():
        if param.dim() < 2:
            nn.init.zeros_(param)
            continue
        match scheme:
            case "xavier":
                nn.init.xavier_uniform_(param)
            case "he":
                nn.init.kaiming_normal_(param, nonlinearity="relu")
            case "orthogonal":
                nn.init.orthogonal_(param)
            case _:
                raise ValueError(f"no initialisation is called {scheme!r}")
