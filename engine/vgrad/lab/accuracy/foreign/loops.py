"""What the small loops share: perceptrons, data that are drawn from a seed, and an ordinary training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

OnOptimizer = Callable[[nn.Module, Optimizer], object]
"""Called by a loop for each of its optimizers, before the first step that is watched."""

MakeBatch = Callable[[int], tuple[Tensor, Tensor]]
LossFn = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class LoopSetting:
    """What a loop is run with.

    Attributes:
        watch: To be called once an optimizer's steps are to be watched.
        is_cured: Whether a sick kind is to be run with its cure.
        data: Generator of the data; weights are drawn from the global one.
    """

    watch: OnOptimizer
    is_cured: bool
    data: torch.Generator

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(*shape, generator=self.data)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.data)


Loop = Callable[[LoopSetting], float]
"""Trains and returns the mean loss of its last tenth, or another number that is the lower the better."""


def mlp(*sizes: int, unit: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A perceptron with ``unit`` after each layer but the last."""
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(sizes):
        layers += [nn.Linear(num_in, num_out), unit()]
    return nn.Sequential(*layers[:-1])


class Exp(nn.Module):
    """The exponential as a unit."""

    def forward(self, x: Tensor) -> Tensor:
        """``exp(x)``."""
        return x.exp()


def fit(
    setting: LoopSetting,
    model: nn.Module,
    optimizer: Optimizer,
    draw: MakeBatch,
    loss_fn: LossFn,
    steps: int,
    schedule: LRScheduler | None = None,
    *,
    zeroes: bool = True,
) -> float:
    """An ordinary training loop, watched from its first step on."""

    def loss_at(step: int) -> Tensor:
        inputs, targets = draw(step)
        return loss_fn(model(inputs), targets)

    return minimise(setting, model, optimizer, loss_at, steps, schedule, zeroes=zeroes)


def minimise(
    setting: LoopSetting,
    model: nn.Module,
    optimizer: Optimizer,
    loss_at: Callable[[int], Tensor],
    steps: int,
    schedule: LRScheduler | None = None,
    *,
    zeroes: bool = True,
) -> float:
    """The same for a loss of any kind, which ``loss_at`` gives for each step."""
    setting.watch(model, optimizer)
    losses = []
    for step in range(steps):
        if zeroes:
            optimizer.zero_grad()
        loss = loss_at(step)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]) and step > 60:
            return math.nan
    return tail(losses)


def tail(losses: list[float]) -> float:
    """Mean of the last tenth."""
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def train_before(
    model: nn.Module, params: Iterable[nn.Parameter], draw: MakeBatch, loss_fn: LossFn, lr: float, steps: int
) -> None:
    """Plain SGD that nobody watches."""
    params = list(params)
    for step in range(steps):
        inputs, targets = draw(step)
        grads = torch.autograd.grad(loss_fn(model(inputs), targets), params)
        with torch.no_grad():
            for param, grad in zip(params, grads, strict=True):
                param.sub_(grad, alpha=lr)


def two_classes(setting: LoopSetting, flipped: float = 0.0, num: int = 64, width: int = 10) -> MakeBatch:
    """Batches of points and on which side of a plane they lie, a share of the answers flipped."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        points = setting.normal(num, width)
        sides = (points[:, 0] - points[:, 1] > 0).long()
        return points, torch.where(setting.uniform(num) < flipped, 1 - sides, sides)

    return draw


def circles(num: int = 1000, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Two circles, one inside the other, as scikit-learn's ``make_circles(factor=.8)`` draws them."""
    data = torch.Generator().manual_seed(1)
    angles = 2 * math.pi * torch.rand(num, generator=data)
    inner = torch.rand(num, generator=data) < 0.5
    radii = torch.where(inner, 0.8, 1.0)
    points = torch.stack([radii * angles.cos(), radii * angles.sin()], 1)
    return points + noise * torch.randn(num, 2, generator=data), inner.float()[:, None]


def batches(setting: LoopSetting, inputs: Tensor, targets: Tensor, num: int) -> MakeBatch:
    """Batches drawn from a data set."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(0, len(inputs), (num,), generator=setting.data)
        return inputs[chosen], targets[chosen]

    return draw


def images(setting: LoopSetting, wrong: float = 0.0, num: int = 32) -> MakeBatch:
    """Batches of 8×8 images of a bright bar in one of four places, a share of them mislabelled."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 4, (num,), generator=setting.data)
        x = 0.5 * setting.normal(num, 1, 8, 8)
        for index, kind in enumerate(kinds.tolist()):
            if kind < 2:
                x[index, 0, 2 + 3 * kind, :] += 1.5
            else:
                x[index, 0, :, 2 + 3 * (kind - 2)] += 1.5
        other = torch.randint(0, 4, (num,), generator=setting.data)
        return x, torch.where(setting.uniform(num) < wrong, other, kinds)

    return draw
