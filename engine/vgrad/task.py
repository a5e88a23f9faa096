"""What is trained: a model, its optimizer, and where its data comes from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LossFn = Callable[[Tensor, Tensor], Tensor]
"""From outputs and targets to the mean loss, 0-d."""

_ENOUGH = 2**15  # samples: they give the entropy of a hundred symbols to half a percent


@dataclass(frozen=True, slots=True, eq=False)
class Microbatch:
    """What one backward pass sees.

    Attributes:
        inputs: Model inputs, samples along the first dimension, on the model's device.
        targets: What the model should answer, as the task's ``loss_fn`` wants it.
        num_tokens: Number of target tokens; 0 where the data has none.
        num_samples: Number of samples: sequences, images.
        ends_epoch: Whether the data has now been seen once more; such a batch may be short.
    """

    inputs: Tensor
    targets: Tensor
    num_tokens: int
    num_samples: int
    ends_epoch: bool = False


class Stream(Protocol):
    """An endless supply of microbatches that owns its position and its randomness.

    Nothing of it hides in globals, so that a run can be captured whole, restored and forked.
    """

    def next(self) -> Microbatch:
        """Return the next microbatch; a finite stream raises `StopIteration` at its end."""

    def state_dict(self) -> dict[str, Any]:
        """Return the exact position; later draws do not change it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the position that `state_dict` returned."""


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


def constant_loss(targets: Tensor, loss_fn: LossFn = mean_cross_entropy) -> float:
    """Return the loss of the best constant answer: what a model comes to that ignores its inputs.

    Of classes, each as likely as it is frequent; of numbers, their mean. Exact for cross entropy and
    squared error, whatever these are multiplied with; of more than 32,768 samples as many are looked at.

    Args:
        targets: Class indices of shape ``(num_samples,)``, or numbers with the samples along the first
            dimension.
        loss_fn: Mean loss of ``(outputs, targets)``, 0-d.
    """
    targets = targets[:: max(1, len(targets) // _ENOUGH)]
    if targets.is_floating_point():
        return float(loss_fn(targets.mean(0, keepdim=True).expand_as(targets), targets))
    counts = torch.bincount(targets)
    # Classes that do not occur are never asked for: any small share will do.
    logs = (counts / counts.sum()).clamp(min=1e-12).log()
    return float(loss_fn(logs.expand(len(targets), -1), targets.long()))


@dataclass(frozen=True, slots=True)
class Metric:
    """A second number beside the loss, better when smaller.

    Attributes:
        name: What to call it.
        function: From ``(outputs, targets)`` to a 0-d tensor on their device.
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the number, 0-d, not read back."""
        return self.function(outputs, targets)


def error_rate(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of wrong answers, 0-d, for logits ``(..., num_classes)`` and targets ``(...)``."""
    return (logits.argmax(-1) != targets).float().mean()


ERROR_RATE = Metric("error rate", error_rate)


@dataclass(slots=True, eq=False)
class Task:
    """All that a training run needs to know about what it trains.

    Attributes:
        model: The model, on its device, in training mode.
        optimizer: Holds the model's parameters; its ``lr`` is the base learning rate.
        stream: The training data.
        validation: The same data at every validation, never trained on unless the recipe says so.
        unit: What is counted for the speed.
        loss_fn: Mean loss of ``(outputs, targets)``, 0-d.
        metric: A number that says more than the loss, where there is one.
        baseline: Training loss of who ignores the inputs, see `constant_loss`; NaN where it is not known.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    stream: Stream
    validation: Microbatch
    unit: Literal["tokens", "samples"]
    loss_fn: LossFn = mean_cross_entropy
    metric: Metric | None = None
    baseline: float = math.nan

    def loss(self, batch: Microbatch) -> Tensor:
        """Return the mean loss over ``batch``, 0-d, on its device and not read back."""
        return self.loss_fn(self.model(batch.inputs), batch.targets)

    def validate(self) -> float:
        """Return the mean loss on the validation data; no weight and no random state changes."""
        return float(self._on_validation_data(self.loss_fn))

    def validate_metric(self) -> float:
        """Return the metric on the validation data, as `validate` does; NaN without a metric."""
        return math.nan if self.metric is None else float(self._on_validation_data(self.metric))

    def _on_validation_data(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                return measure(self.model(self.validation.inputs), self.validation.targets)
        finally:
            self.model.train(was_training)
