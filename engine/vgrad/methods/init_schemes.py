"""The initialisations of weights: the one list of their names, each with what it is.

`vgrad.train.init_weights` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

INITS: Mapping[str, str] = MappingProxyType(
    {
        "torch": "as PyTorch draws each module",
        "xavier": "Glorot & Bengio 2010: for tanh and sigmoid",
        "he": "He et al. 2015: for ReLU",
        "orthogonal": "Saxe et al. 2013: keeps lengths",
        "normal": "standard deviation 0.1, as in Pascanu 2013",
    }
)
"""What a model can be built with."""

REINITS: Mapping[str, str] = MappingProxyType(
    {
        **INITS,
        "hh-orthogonal": "hidden-to-hidden matrices only, orthogonal",
        "hh-identity": "hidden-to-hidden matrices only, identity: Le et al. 2015",
    }
)
"""What a live model can be re-initialised with."""
