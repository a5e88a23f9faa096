"""Recurrent tasks in float64, for tests of what depends on hidden states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.recipes.models.recurrent import RecurrentNet
from vgrad.recipes.registry import build_task
from vgrad.task import Microbatch, Task

CPU = torch.device("cpu")


def task_of(name: str, **options: Any) -> Task:
    return build_task(RunConfig.make(recipe=name, batch_size=5, options=options), CPU)


def net(task: Task) -> RecurrentNet:
    assert isinstance(task.model, RecurrentNet)
    return task.model


class Exact(nn.Module):
    """In front of an embedding: gives it, or makes of numbers, float64."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.embed(inputs)
        return features.double()


def in_double(task: Task, *, batch_size: int) -> Task:
    """The task in float64, with the first samples of its data as validation."""
    task.model.double()
    net(task).embed = Exact(net(task).embed)
    batch = task.validation
    targets = batch.targets.double() if batch.targets.is_floating_point() else batch.targets
    task.validation = Microbatch(
        batch.inputs[:batch_size], targets[:batch_size], num_tokens=0, num_samples=batch_size
    )
    return task
