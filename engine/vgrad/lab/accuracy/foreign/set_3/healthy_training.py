"""Healthy loops that are trained in parts, or in an unusual way. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, train_before, two_classes


class Weighted(nn.Module):
    """Two regressions, each divided by a variance that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(6, 32, 2)
        self.log_variance = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both answers and the logarithms of their variances."""
        return self.body(x), self.log_variance


def learnt_variances(s: LoopSetting) -> float:
    """The loss begins positive and ends negative."""
    model = Weighted()
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    weights = s.normal(6, 2)
    losses = []
    for _ in range(1000):
        inputs = s.normal(48, 6)
        targets = inputs @ weights + torch.tensor([0.1, 0.5]) * s.normal(48, 2)
        optimizer.zero_grad()
        answers, log_variance = model(inputs)
        loss = (0.5 * (targets - answers).square() / log_variance.exp() + 0.5 * log_variance).sum(1).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


class RunningSum(nn.Module):
    """An LSTM that answers at each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(1, 24, batch_first=True)
        self.answer = nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Answers, shape ``(batch, time, 1)``."""
        result: Tensor = self.answer(self.cell(x)[0])
        return result


def growing_lengths(s: LoopSetting) -> float:
    """Running sums over sequences that become longer in the middle: so do the losses."""
    model = RunningSum()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = 0.5 * s.normal(24, 6 if step < 250 else 24, 1)
        return inputs, inputs.cumsum(1)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 600)


def distillation(s: LoopSetting) -> float:
    """The answers of a fixed teacher, softened: the loss ends at their entropy."""
    teacher, model = mlp(8, 32, 5), mlp(8, 24, 5)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        with torch.no_grad():
            return inputs, F.softmax(4 * teacher(inputs), dim=1)

    return fit(s, model, SGD(model.parameters(), 0.1, momentum=0.9), draw, F.cross_entropy, 700)


def frozen_body(s: LoopSetting) -> float:
    """A new head on a body that was trained before and is kept as it is; its optimizer holds both."""
    body, head = mlp(10, 32, 32), nn.Linear(32, 2)
    model = nn.Sequential(body, nn.ReLU(), head)
    draw = two_classes(s, 0.1)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.2, 500)
    body.requires_grad_(False)
    head.reset_parameters()
    return fit(s, model, AdamW(model.parameters(), 1e-3), draw, F.cross_entropy, 600)


def accumulated(s: LoopSetting) -> float:
    """Four small batches to a step, as people accumulate by hand."""
    model = mlp(10, 32, 2)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.15, num=8)
    losses = []
    for _ in range(700):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(4):
            inputs, targets = draw(0)
            loss = F.cross_entropy(model(inputs), targets) / 4
            loss.backward()
            total += loss.item()
        optimizer.step()
        losses.append(total)
    return tail(losses)


def second_order(s: LoopSetting) -> float:
    """LBFGS on a fixed set of noisy samples: it is at the end within a few dozen steps."""
    model = mlp(3, 8, 1, unit=nn.Tanh)
    optimizer = LBFGS(model.parameters(), lr=0.5, max_iter=4)
    s.watch(model, optimizer)
    inputs = s.normal(200, 3)
    targets = torch.sin(inputs[:, :1]) + 0.3 * s.normal(200, 1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(inputs), targets) + 1e-3 * sum(p.square().sum() for p in model.parameters())
        loss.backward()
        return loss

    return tail([optimizer.step(closure).item() for _ in range(300)])


def focal(s: LoopSetting) -> float:
    """One in twenty is positive, and what is easy counts for little: the loss is small from the start."""
    model = mlp(10, 32, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(96, 10)
        return inputs, (inputs[:, :1] + 0.3 * s.normal(96, 1) > 1.65).float()

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        chance = torch.sigmoid(outputs)
        of_truth = torch.where(targets > 0, chance, 1 - chance)
        return -((1 - of_truth) ** 2 * of_truth.clamp(min=1e-8).log()).mean()

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, loss_fn, 800)


class Coupling(nn.Module):
    """Two affine coupling layers between two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(mlp(1, 24, 2, unit=nn.Tanh) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Negative log likelihood of each point, less its constant."""
        one, two = x[:, :1], x[:, 1:]
        total = torch.zeros(len(x), 1)
        for net in self.nets:
            scale, shift = net(one).chunk(2, 1)
            scale = torch.tanh(scale)
            one, two = two * scale.exp() + shift, one
            total = total + scale
        result: Tensor = 0.5 * (one**2 + two**2) - total
        return result


def flow(s: LoopSetting) -> float:
    """A likelihood of points near a parabola."""
    model = Coupling()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        one = s.normal(64, 1)
        return torch.cat([one, 0.5 * one**2 + 0.1 * s.normal(64, 1)], 1), one

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, lambda loss, _: loss.mean(), 900)


class Branched(nn.Module):
    """A trunk with a second branch that nothing flows back from."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = mlp(10, 32, 32), nn.Linear(64, 2)
        self.beside = mlp(32, 32, 32)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = torch.relu(self.trunk(x))
        result: Tensor = self.head(torch.cat([h, self.beside(h).detach()], 1))
        return result


def detached_branch(s: LoopSetting) -> float:
    """A fixed branch beside the one that learns, left in the optimizer."""
    model = Branched()
    return fit(
        s, model, SGD(model.parameters(), 0.1, momentum=0.9), two_classes(s, 0.1), F.cross_entropy, 700
    )


def small_images(s: LoopSetting) -> float:
    """Batches of two images with batch-free normalisation: noisy losses that fall."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
    )
    return fit(s, model, SGD(model.parameters(), 5e-3), images(s, 0.1, num=2), F.cross_entropy, 1200)


def diffusion_sequence(s: LoopSetting) -> float:
    """Noise in short waves of random phase, at a random level, predicted by convolutions over time."""
    model = nn.Sequential(
        nn.Conv1d(2, 16, 5, padding=2), nn.SiLU(), nn.Conv1d(16, 16, 5, padding=2), nn.SiLU(),
        nn.Conv1d(16, 1, 5, padding=2),
    )  # fmt: skip
    time = torch.linspace(0, 4 * math.pi, 24)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        waves = torch.sin(time + 2 * math.pi * s.uniform(32, 1, 1))
        level = s.uniform(32, 1, 1)
        noise = s.normal(32, 1, 24)
        mixed = (1 - level).sqrt() * waves + level.sqrt() * noise
        return torch.cat([mixed, level.expand(-1, -1, 24)], 1), noise

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.mse_loss, 600)


LOOPS = {
    "learnt_variances": (learnt_variances, -0.5),
    "growing_lengths": (growing_lengths, 0.3),
    "distillation": (distillation, 1.45),
    "frozen_body": (frozen_body, 0.5),
    "accumulated": (accumulated, 0.52),
    "second_order": (second_order, 0.2),
    "focal": (focal, 0.03),
    "flow": (flow, 0.5),
    "detached_branch": (detached_branch, 0.45),
    "small_images": (small_images, 0.9),
    "diffusion_sequence": (diffusion_sequence, 0.5),
}
"""Each loop, and the number that a run which learnt comes below."""
