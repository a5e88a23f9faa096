"""A forward and a backward pass that leave nothing behind, to ask a task's own model what it can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from vgrad.methods.precision import Precision, autocast
from vgrad.task.random_state import kept_random_state

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vgrad.task import Microbatch, Task


def trial_gradients(task: Task, batch: Microbatch, precision: Precision) -> list[Tensor]:
    """Return the gradients of the trainable parameters that ``batch`` reaches.

    Weights, ``p.grad``, buffers (the statistics of batch norm) and random states stay as they are.

    Raises:
        Exception: Whatever the passes raise.
    """
    params = [param for param in task.model.parameters() if param.requires_grad]
    with kept_random_state(task.device), _kept_buffers(task.model), torch.enable_grad():
        with autocast(precision, task.device):
            loss = task.loss_of(batch)
        # Not backward(): that would add to p.grad, and call the hooks of who waits for gradients.
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss, params, allow_unused=True)
    return [gradient for gradient in gradients if gradient is not None]


@contextmanager
def _kept_buffers(model: nn.Module) -> Iterator[None]:
    """Put every buffer back, the same object with the same values, whatever is done inside."""
    kept = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, values in kept:
                buffer.copy_(values)
                setattr(module, name, buffer)
