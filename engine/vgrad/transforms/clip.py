"""Gradient clipping, as ``torch.nn.utils`` does it, without a read-back to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.checks import positive_float

if TYPE_CHECKING:
    from vgrad.grads import Grads


@dataclass(frozen=True, slots=True)
class ClipGradNorm:
    """Rescale all gradients together so that their joint L2 norm is at most ``max_norm``.

    Direction is kept; only length changes. A step below the limit is untouched.

    Args:
        max_norm: Largest joint norm that passes, in loss units per parameter unit; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``max_norm`` is not a number in that range.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1; the ``1e-6`` in the
        divisor is that of ``torch.nn.utils.clip_grad_norm_``, so that the two agree.
    """

    max_norm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_norm", positive_float("max_norm", self.max_norm))

    def apply_(self, grads: Grads, *, step: int) -> None:
        """Rescale ``grads`` in place."""
        grads.scale_((self.max_norm / (grads.norm() + 1e-6)).clamp(max=1.0))


@dataclass(frozen=True, slots=True)
class ClipGradValue:
    """Clamp every entry of every gradient to ``[-clip_value, clip_value]``.

    Changes the direction of the step as well as its length.

    Args:
        clip_value: Largest absolute entry that passes; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``clip_value`` is not a number in that range.

    Source:
        ``torch.nn.utils.clip_grad_value_``.
    """

    clip_value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip_value", positive_float("clip_value", self.clip_value))

    def apply_(self, grads: Grads, *, step: int) -> None:
        """Clamp ``grads`` in place."""
        grads.clamp_(self.clip_value)


Clip = ClipGradNorm | ClipGradValue
