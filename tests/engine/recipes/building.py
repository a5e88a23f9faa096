"""What the tests of recipes share: building one on the CPU, and a bare training loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.recipes.registry import RECIPES, build_task
from vgrad.task import Microbatch, Task

CPU = torch.device("cpu")
TEXT_RECIPES = [name for name, recipe in RECIPES.items() if recipe.text]
every_recipe = pytest.mark.parametrize("name", RECIPES)


def build(name: str, **values: Any) -> Task:
    return build_task(RunConfig.make(recipe=name, **values), CPU)


def train(task: Task, steps: int, max_norm: float | None = None) -> list[float]:
    """A bare loop, as anybody would write it."""
    losses = []
    for _ in range(steps):
        loss = task.loss_of(task.stream.next())
        task.optimizer.zero_grad()
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(task.model.parameters(), max_norm)
        task.optimizer.step()
        losses.append(loss.item())
    return losses


def weights_of(task: Task) -> list[Tensor]:
    return [param.detach().clone() for param in task.model.parameters()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def same_batch(left: Microbatch, right: Microbatch) -> bool:
    return (
        torch.equal(left.inputs, right.inputs)
        and torch.equal(left.targets, right.targets)
        and left.ends_epoch == right.ends_epoch
    )
