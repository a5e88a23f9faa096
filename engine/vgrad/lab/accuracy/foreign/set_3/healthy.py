"""Healthy loops: losses of many kinds. What each is stands in `kinds`."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import SpikingClassifier


def quantile_regression(s: LoopSetting) -> float:
    """Three quantiles of targets whose spread depends on the inputs; the floor is about .32."""
    model = mlp(4, 32, 3)
    levels = torch.tensor([0.1, 0.5, 0.9])

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 4)
        return inputs, inputs[:, :1] + (0.5 + inputs[:, 1:2].abs()) * s.normal(48, 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        error = targets - outputs
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 900)


def ranking(s: LoopSetting) -> float:
    """A quarter of the pairs is in the wrong order."""
    model = mlp(8, 32, 1)
    weights = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pairs = s.normal(48, 2, 8)
        worth = (pairs @ weights)[..., 0]
        order = (worth[:, 0] > worth[:, 1]).float()
        return pairs, torch.where(s.uniform(48) < 0.25, 1 - order, order)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs[:, 0, 0] - outputs[:, 1, 0], targets)

    return fit(s, model, SGD(model.parameters(), 0.1, momentum=0.9), draw, loss_fn, 800)


class GraphNet(nn.Module):
    """Layers that average over neighbours, with a normalised adjacency matrix of their own."""

    def __init__(self, adjacency: Tensor, width: int, depth: int, unit: nn.Module, num_in: int = 6) -> None:
        super().__init__()
        self.adjacency = adjacency
        sizes = [num_in, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.answer = nn.Linear(width, 2)
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every node."""
        for layer in self.layers:
            x = self.unit(self.adjacency @ layer(x))
        result: Tensor = self.answer(x)
        return result


def random_graph(s: LoopSetting, num: int = 120) -> tuple[Tensor, Tensor]:
    """A normalised adjacency matrix of two communities, and each node's community."""
    side = (torch.arange(num) % 2).long()
    chance = torch.where(side[:, None] == side[None, :], 0.12, 0.02)
    edges = (s.uniform(num, num) < chance).float()
    edges = ((edges + edges.T + torch.eye(num)) > 0).float()
    degree = edges.sum(1)
    return edges / (degree[:, None] * degree[None, :]).sqrt(), side


def graph_noisy(s: LoopSetting) -> float:
    """Every step sees the whole graph with fresh features; a fifth of the labels is wrong each time."""
    adjacency, side = random_graph(s)
    model = GraphNet(adjacency, 24, 2, nn.ReLU())

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(120, 6) + 0.5 * (2.0 * side[:, None] - 1)
        return inputs, torch.where(s.uniform(120) < 0.2, 1 - side, side)

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.cross_entropy, 700)


class Reverser(nn.Module):
    """An encoder and a decoder that is shown the symbol before."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 16)
        self.encode = nn.GRU(16, 48, batch_first=True)
        self.decode = nn.GRU(16, 48, batch_first=True)
        self.answer = nn.Linear(48, 5)

    def forward(self, symbols: Tensor) -> Tensor:
        """Logits of the reversed symbols, shape ``(batch, 5, time)``."""
        _, state = self.encode(self.embed(symbols))
        before = F.pad(symbols.flip(1)[:, :-1], (1, 0), value=5)
        states, _ = self.decode(self.embed(before), state)
        result: Tensor = self.answer(states).transpose(1, 2)
        return result


def seq2seq_reverse(s: LoopSetting) -> float:
    """Sequences of five symbols, backwards."""
    model = Reverser()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 5, (32, 5), generator=s.data)
        return symbols, symbols.flip(1)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 600)


def physics_loss(model: nn.Module, points: Tensor) -> Tensor:
    """How far a function is from ``u'' = -u`` with ``u(0) = 0`` and ``u'(0) = 1``."""
    points = points.requires_grad_(True)
    value = model(points)
    (slope,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), points, create_graph=True)
    start = torch.zeros(1, 1, requires_grad=True)
    at_start = model(start)
    (slope_at_start,) = torch.autograd.grad(at_start.sum(), start, create_graph=True)
    result: Tensor = (
        ((bend + value) ** 2).mean() + at_start.square().sum() + (slope_at_start - 1).square().sum()
    )
    return result


def physics_informed(s: LoopSetting) -> float:
    """The loss holds second derivatives of the network."""
    model = mlp(1, 24, 24, 1, unit=nn.Tanh)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(800):
        optimizer.zero_grad()
        loss = physics_loss(model, 4 * s.uniform(32, 1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def clipped_policy(s: LoopSetting) -> float:
    """Several steps on each batch of choices, with a clipped ratio; returns the share of wrong choices."""
    policy = mlp(4, 32, 4, unit=nn.Tanh)
    optimizer = Adam(policy.parameters(), 3e-3)
    s.watch(policy, optimizer)
    wrong = []
    for _ in range(200):
        contexts = s.normal(48, 4)
        with torch.no_grad():
            old = torch.distributions.Categorical(logits=policy(contexts))
            chosen = old.sample()
            before = old.log_prob(chosen)
        reward = (chosen == contexts.argmax(1)).float()
        worth = (reward - reward.mean()) / (reward.std() + 1e-3)
        for _ in range(4):
            choices = torch.distributions.Categorical(logits=policy(contexts))
            ratio = (choices.log_prob(chosen) - before).exp()
            optimizer.zero_grad()
            gain = torch.minimum(ratio * worth, ratio.clamp(0.8, 1.2) * worth)
            (-gain.mean() - 0.01 * choices.entropy().mean()).backward()
            optimizer.step()
        wrong.append(1 - reward.mean().item())
    return tail(wrong)


def logistic_gan(s: LoopSetting) -> float:
    """The usual non-saturating losses on a shifted cloud; returns the distance of the means."""
    generator, critic = mlp(3, 32, 2), mlp(2, 32, 32, 1)
    of_generator = Adam(generator.parameters(), 1e-3, betas=(0.5, 0.99))
    of_critic = Adam(critic.parameters(), 1e-3, betas=(0.5, 0.99))
    s.watch(generator, of_generator)
    s.watch(critic, of_critic)
    for _ in range(1000):
        real = 0.5 * s.normal(64, 2) + torch.tensor([1.0, -1.0])
        fake = generator(s.normal(64, 3))
        of_critic.zero_grad()
        (F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()).backward()
        of_critic.step()
        of_generator.zero_grad()
        F.softplus(-critic(fake)).mean().backward()
        of_generator.step()
    return (generator(s.normal(512, 3)).mean(0) - torch.tensor([1.0, -1.0])).norm().item()


def linear_bottleneck(s: LoopSetting) -> float:
    """Three of sixteen equally large directions fit through it: most of the loss stays."""
    model = mlp(16, 3, 16, unit=nn.Identity)
    mix = torch.linalg.qr(s.normal(16, 16))[0] * torch.tensor([3.0] * 3 + [1.0] * 13)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 16) @ mix.T
        return inputs, inputs

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.mse_loss, 700)


class SoftExperts(nn.Module):
    """Four experts, mixed by a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(10, 4)
        self.experts = nn.ModuleList(mlp(10, 16, 2) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and how unevenly experts are used."""
        gates = F.softmax(self.gate(x), dim=1)
        answers = torch.stack([expert(x) for expert in self.experts], 1)
        return (gates[..., None] * answers).sum(1), 4 * gates.mean(0).square().sum()


def balanced_experts(s: LoopSetting) -> float:
    """The loss has a part that cannot fall below 1."""
    model = SoftExperts()
    optimizer = AdamW(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    draw = two_classes(s, 0.1)
    losses = []
    for _ in range(800):
        inputs, targets = draw(0)
        optimizer.zero_grad()
        logits, unevenness = model(inputs)
        loss = F.cross_entropy(logits, targets) + unevenness
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def spiking(s: LoopSetting) -> float:
    """Units that fire or not, with a surrogate gradient."""
    model = SpikingClassifier(threshold=1.0)
    return fit(s, model, Adam(model.parameters(), 5e-3), two_classes(s, 0.05), F.cross_entropy, 500)


def info_nce(s: LoopSetting) -> float:
    """Which of 64 other views belongs to this one, at a low temperature."""
    model = mlp(12, 48, 16)
    optimizer = Adam(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(700):
        inputs = s.normal(64, 12)
        one, two = (F.normalize(model(inputs + 0.4 * s.normal(64, 12)), dim=1) for _ in range(2))
        optimizer.zero_grad()
        loss = F.cross_entropy(one @ two.T / 0.1, torch.arange(64))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def heavy_dropout(s: LoopSetting) -> float:
    """Four of five units are dropped at each step: training losses are far above those without."""
    model = nn.Sequential(
        nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.8), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.8),
        nn.Linear(64, 2),
    )  # fmt: skip
    return fit(s, model, Adam(model.parameters(), 2e-3), two_classes(s, 0.05), F.cross_entropy, 800)


LOOPS = {
    "quantile_regression": (quantile_regression, 0.4),
    "ranking": (ranking, 0.62),
    "graph_noisy": (graph_noisy, 0.58),
    "seq2seq_reverse": (seq2seq_reverse, 0.5),
    "physics_informed": (physics_informed, 0.05),
    "clipped_policy": (clipped_policy, 0.4),
    "logistic_gan": (logistic_gan, 0.6),
    "linear_bottleneck": (linear_bottleneck, 1.0),
    "balanced_experts": (balanced_experts, 1.45),
    "spiking": (spiking, 0.45),
    "info_nce": (info_nce, 1.0),
    "heavy_dropout": (heavy_dropout, 0.55),
}
"""Each loop, and the number that a run which learnt comes below."""
