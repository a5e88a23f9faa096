"""What is trained: a model, its optimizer, and where its data comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    stream: Stream
    validation: Microbatch
    unit: Literal["tokens", "samples"]
    loss_fn: Callable[[Tensor, Tensor], Tensor] = mean_cross_entropy

    def loss(self, batch: Microbatch) -> Tensor:
        """Return the mean loss over ``batch``, 0-d, on its device and not read back."""
        return self.loss_fn(self.model(batch.inputs), batch.targets)

    def validate(self) -> float:
        """Return the mean loss on the validation data; no weight and no random state changes."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                return float(self.loss(self.validation))
        finally:
            self.model.train(was_training)
