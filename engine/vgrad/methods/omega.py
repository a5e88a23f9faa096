"""Pascanu's regulariser for recurrent networks, as a link of the chain."""

from __future__ import annotations

from dataclasses import dataclass

from vgrad.validation import positive_float


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
