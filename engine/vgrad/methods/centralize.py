"""Gradient centralisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.errors import ConfigError
from vgrad.methods.transform import GradTransform

if TYPE_CHECKING:
    from vgrad.gradients.grads import Grads


@dataclass(frozen=True, slots=True)
class CentralizeGrads(GradTransform):
    """Subtract from each output unit's gradient its mean, so that it sums to 0.

    For weights of two dimensions and more: ``g -= mean of g over dims 1..``; vectors and 0-d
    parameters are left alone. A unit with a single input has a gradient that is its own mean:
    ``Linear(1, n).weight`` and depthwise 1x1 convolutions stop learning. An entry that is not finite
    makes its unit NaN.

    Source:
        Yong et al. 2020, arXiv:2004.01461, equation 1.
    """

    def apply_(self, grads: Grads, memory: Any, *, step: int) -> None:
        """Centre ``grads`` in place.

        Raises:
            ConfigError: If a gradient is sparse in more than its rows.
        """
        import torch

        matrices, means = [], []
        for grad, param in zip(grads.tensors, grads.params, strict=True):
            if grad.dim() < param.dim():
                raise ConfigError("needs whole rows of a gradient, and single entries are not stored here")
            if param.dim() >= 2:  # its own: a complex weight's gradient has one more, for its two parts
                matrices.append(grad)
                means.append(grad.mean(dim=tuple(range(1, param.dim())), keepdim=True))
        if not matrices:
            return
        torch._foreach_sub_(matrices, means)
        grads.forget_norms()
