"""A `GradScaler` with a fused optimizer: gradients are still scaled when the step's hooks see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


class FusedScaling:
    """Reads the scale that a `GradScaler` has handed to a fused optimizer for one step.

    The scaler hands over the scale and whether a gradient is infinite, and the optimizer's kernel divides, or
    leaves the step out. So the hooks fire for a step that is left out, too.

    Args:
        optimizer: The optimizer.

    Attributes:
        is_possible: Whether the optimizer is of the kind that is handed a scale.
        scale: What the gradients are still multiplied with, 0-d; None for 1.
        full_scale: What the loss was multiplied with, 0-d; None for 1 or unknown.
        found_inf: Above 0 where the optimizer will leave the step out, 0-d; None without a scaler.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.is_possible = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self.scale: Tensor | None = None
        self.full_scale: Tensor | None = None
        self.found_inf: Tensor | None = None
        self._optimizer = optimizer

    def look(self, params: Sequence[nn.Parameter], *, unscale: bool, is_new: bool) -> None:
        """Take in what the scaler has handed over for the step about to be done.

        Args:
            params: The parameters of the optimizer.
            unscale: Divide the gradients here, before transforms or an accumulation window see them.
            is_new: Whether a new step begins; else an infinite gradient earlier in the window still counts.
        """
        optimizer = self._optimizer
        before = self.found_inf
        self.scale = self.full_scale = getattr(optimizer, "grad_scale", None)
        self.found_inf = getattr(optimizer, "found_inf", None)
        if self.found_inf is not None and before is not None and not is_new:
            self.found_inf = optimizer.found_inf = torch.maximum(before, self.found_inf)  # type: ignore[attr-defined]
        if unscale and self.scale is not None:
            grads = [param.grad for param in params if param.grad is not None]
            if grads:
                torch._foreach_mul_(grads, self.scale.reciprocal())
            self.scale = optimizer.grad_scale = None  # type: ignore[attr-defined]
