"""The functions that the names in `vgrad.methods.structure.ACTIVATIONS` stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "gelu": F.gelu,
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "selu": F.selu,
    }
)


def normalize(x: Tensor) -> Tensor:
    """Bring the last dimension to zero mean and unit variance: LayerNorm without gain and bias.

    Source:
        Ba, Kiros & Hinton 2016, arXiv:1607.06450, eq. 3.
    """
    return F.layer_norm(x, x.shape[-1:])


def normalize_sample(x: Tensor) -> Tensor:
    """`normalize` over all features of each sample, of an image as well: all dimensions but the first."""
    return F.layer_norm(x, x.shape[1:])
