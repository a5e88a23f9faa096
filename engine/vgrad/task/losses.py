"""Losses and metrics of the recipes, and the loss of a constant prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Any, Any], Tensor]
"""From outputs and targets to the mean loss, 0-d."""

_ENOUGH = 2**15  # samples: they give the entropy of a hundred symbols to half a percent


def mean_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy in nats, 0-d.

    Args:
        logits: Shape ``(..., num_classes)``.
        targets: Class indices, int64 of shape ``(...)``.
    """
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, 0-d, of two tensors of one shape."""
    return F.mse_loss(outputs, targets)


def constant_loss(targets: Tensor, loss: Loss = mean_cross_entropy) -> float:
    """Return the loss of the best constant prediction, which is what a model reaches that ignores its inputs.

    For classes that is a prediction of their frequencies; for numbers, of their mean. Exact for cross
    entropy and squared error, with any constant factor. Of more than 32,768 samples a part is used.

    Args:
        targets: Class indices of shape ``(num_samples,)``, or numbers with the samples along the first
            dimension.
        loss: Mean loss of ``(outputs, targets)``, 0-d.
    """
    targets = targets[:: max(1, len(targets) // _ENOUGH)]
    if targets.is_floating_point():
        return float(loss(targets.mean(0, keepdim=True).expand_as(targets), targets))
    counts = torch.bincount(targets)
    # A class that does not occur is never a target: any small share will do.
    logs = (counts / counts.sum()).clamp(min=1e-12).log()
    return float(loss(logs.expand(len(targets), -1), targets.long()))


@dataclass(frozen=True, slots=True)
class Metric:
    """A second number beside the loss, better when smaller.

    Attributes:
        name: What to call it.
        function: From ``(outputs, targets)`` to a 0-d tensor on their device.
    """

    name: str
    function: Loss

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the number, 0-d, not read back."""
        return self.function(outputs, targets)


def error_rate(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of wrong answers, 0-d, for logits ``(..., num_classes)`` and targets ``(...)``."""
    return (logits.argmax(-1) != targets).float().mean()


ERROR_RATE = Metric("error rate", error_rate)
