"""Layer-wise normalisation: every tensor's step in proportion to its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.methods.transform import GradTransform
from vgrad.validation import number, positive_float

if TYPE_CHECKING:
    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class LARS(GradTransform):
    """Rescale each gradient to ``trust`` times the length of its weights.

    Tensor by tensor: ``g *= trust * ‖w‖ / (‖g‖ + weight_decay * ‖w‖)``. It evens out scales that
    differ from layer to layer, up as well as down; it cannot restore a direction that rounding has
    lost. Where the weights or the gradient are all zero, the gradient is left as it is: by the
    formula, weights that start at zero would stay there. A tensor with a NaN is left as it is too. An
    inf becomes NaN and makes the rest of its tensor 0.

    Args:
        trust: Norm of a gradient over the norm of its weights; 1e-30 to 1e30.
        weight_decay: The optimizer's own, which the optimizer still applies; here it only shortens
            the gradient, as in the paper; in [0, 1e30].

    Raises:
        ConfigError: If a setting is not a number in its range.

    Source:
        You, Gitman & Ginsburg 2017, arXiv:1708.03888, equation 6.
    """

    trust: float = 0.001
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "trust", positive_float("trust", self.trust))
        weight_decay = number("weight_decay", self.weight_decay, at_least=0.0, at_most=1e30)
        object.__setattr__(self, "weight_decay", weight_decay)

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Rescale each of ``grads`` in place."""
        import torch

        norms, weights = grads.norms(), grads.weight_norms()
        factors = self.trust * weights / (norms + self.weight_decay * weights)
        grads.scale_each_(torch.where((norms > 0) & (weights > 0), factors, 1.0))
