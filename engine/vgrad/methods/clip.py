"""Gradient clipping, as ``torch.nn.utils`` does it, without a read-back to the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.methods.transform import GradTransform
from vgrad.validation import positive_float

if TYPE_CHECKING:
    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class ClipGradNorm(GradTransform):
    """Rescale all gradients together so that their joint L2 norm is at most ``max_norm``.

    Direction is kept; only length changes. A step below the limit is untouched. One inf makes
    every other entry 0 and that one NaN, as it does in torch: see `Grads.all_finite`.

    Args:
        max_norm: Largest joint norm that passes, in loss units per parameter unit; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``max_norm`` is not a number in that range.

    Source:
        Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1; the ``1e-6`` in the
        divisor is that of ``torch.nn.utils.clip_grad_norm_``, so that the two agree.
    """

    max_norm: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_norm", positive_float("max_norm", self.max_norm))

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Rescale ``grads`` in place."""
        grads.scale_((self.max_norm / (grads.norm() + 1e-6)).clamp(max=1.0))


@dataclass(frozen=True, slots=True)
class ClipGradValue(GradTransform):
    """Clamp every entry of every gradient to ``[-clip_value, clip_value]``.

    Changes the direction of the step as well as its length. An inf becomes the limit; NaN stays.

    Args:
        clip_value: Largest absolute entry that passes; 1e-30 to 1e30.

    Raises:
        ConfigError: If ``clip_value`` is not a number in that range.

    Source:
        ``torch.nn.utils.clip_grad_value_``.
    """

    clip_value: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip_value", positive_float("clip_value", self.clip_value))

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Clamp ``grads`` in place."""
        grads.clamp_(self.clip_value)


@dataclass(frozen=True, slots=True)
class ClipEachTensor(GradTransform):
    """Rescale each gradient alone so that its own L2 norm is at most ``max_norm``.

    One bad layer does not shorten the gradients of the others. The direction within each tensor is
    kept, the joint direction is not. An entry that is not finite affects its own tensor only.

    Args:
        max_norm: Largest norm of one tensor that passes, in loss units per parameter unit;
            1e-30 to 1e30.

    Raises:
        ConfigError: If ``max_norm`` is not a number in that range.

    Source:
        ``torch.nn.utils.clip_grad_norm_``, called on each parameter alone.
    """

    max_norm: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_norm", positive_float("max_norm", self.max_norm))

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Rescale each of ``grads`` in place."""
        grads.scale_each_((self.max_norm / (grads.norms() + 1e-6)).clamp(max=1.0))
