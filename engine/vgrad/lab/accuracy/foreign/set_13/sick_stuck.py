"""Loops that are stuck: vanishing or dead, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def product_of_two_marked(s: LoopSetting) -> float:
    """An LSTM multiplies two marked numbers among the first four of 90; of four it can."""
    model, length = RecurrentClassifier(nn.LSTM(2, 24, batch_first=True), 1), 4 if s.is_cured else 90

    def draw(step: int) -> tuple[Tensor, Tensor]:
        numbers, marks = s.uniform(24, length), torch.zeros(24, length)
        places = s.uniform(24, 4).argsort(1)[:, :2]
        marks.scatter_(1, places, 1.0)
        return torch.stack([numbers, marks], 2), 4 * numbers.gather(1, places).prod(1, keepdim=True)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.l1_loss, 350)


def leaky_memory(s: LoopSetting) -> float:
    """A leaky recurrent layer by hand and the sign of the first of forty inputs; of four it can."""
    enter, turn, answer = nn.Linear(3, 32), nn.Linear(32, 32), nn.Linear(32, 1)
    model, length = nn.ModuleList([enter, turn, answer]), 4 if s.is_cured else 40

    def loss_at(step: int) -> Tensor:
        rows, state = s.normal(48, length, 3), torch.zeros(48, 32)
        for row in rows.unbind(1):
            state = 0.5 * state + 0.5 * (enter(row) + turn(state)).tanh()
        return F.soft_margin_loss(answer(state)[:, 0], rows[:, 0, 0].sign())

    return minimise(s, model, RMSprop(model.parameters(), 3e-3), loss_at, 280)


def forty_rounds_of_one_layer(s: LoopSetting) -> float:
    """One sigmoid layer is applied forty times, as an equilibrium is sought; with two rounds it learns."""
    enter, layer, answer = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1)
    model, worth = nn.ModuleList([enter, layer, answer]), s.normal(8)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 8)
        state = enter(rows)
        for _ in range(2 if s.is_cured else 40):
            state = layer(state).sigmoid()
        return F.smooth_l1_loss(answer(state)[:, 0], (rows @ worth).tanh())

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def deep_filters_of_a_series(s: LoopSetting) -> float:
    """Twenty filters over time of small weights, with tanh and a hinge; two of usual weights cure it."""
    layers: list[nn.Module] = [nn.Conv1d(1, 12, 3, padding=1), nn.Tanh()]
    for index in range(1 if s.is_cured else 19):
        gap = 1 + index % 4
        layers += [nn.Conv1d(12, 12, 3, padding=gap, dilation=gap), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(288, 3))
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Conv1d):
                nn.init.normal_(layer.weight, std=0.06)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 3, (32,), generator=s.data)
        phase = (0.4 + 0.5 * kinds[:, None]) * torch.arange(24) + 6 * s.uniform(32, 1)
        return (phase.sin() + 0.3 * s.normal(32, 24))[:, None], kinds

    return fit(s, model, SGD(model.parameters(), 0.05, momentum=0.9), draw, F.multi_margin_loss, 300)


def critic_too_sure(s: LoopSetting) -> float:
    """The generator lowers log(1 - D) where the critic is sure from before; raising log D cures it."""
    maker, critic = mlp(4, 32, 2), mlp(2, 32, 1)
    before = Adam(critic.parameters(), 1e-2)
    for _ in range(300):
        real, made = 3 + 0.3 * s.normal(64, 2), 0.3 * s.normal(64, 2)
        loss = F.softplus(-critic(real)).mean() + F.softplus(critic(made)).mean()
        before.zero_grad()
        loss.backward()
        before.step()
    with torch.no_grad():
        for param in list(critic.parameters())[-2:]:
            param.mul_(3)
    for param in critic.parameters():
        param.requires_grad_(False)
    optimizer, away = SGD(maker.parameters(), 0.05), []
    s.watch(maker, optimizer)
    for _ in range(500):
        made = maker(s.normal(64, 4))
        score = critic(made)
        loss = F.softplus(-score).mean() if s.is_cured else -F.softplus(score).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        away.append(critic(made.detach()).sigmoid().mul(-1).mean().item())
    return tail(away)


def filters_decayed_to_nothing(s: LoopSetting) -> float:
    """AdamW takes six hundredths of all weights away at each step; a usual decay cures it."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(),
        nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    optimizer = AdamW(model.parameters(), 1e-3, weight_decay=1e-2 if s.is_cured else 60.0)
    return fit(s, model, optimizer, images(s), F.cross_entropy, 400)


def clamped_before_the_logarithm(s: LoopSetting) -> float:
    """Chances are clamped to 1e-6 before their logarithm, and a bias of -25 holds them below; 0 cures it."""
    model = mlp(8, 32, 1)
    with torch.no_grad():
        list(model.parameters())[-1].fill_(0.0 if s.is_cured else -25.0)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 8)
        yes = (rows[:, 0] + rows[:, 1] > 1).float()
        chance = model(rows)[:, 0].sigmoid().clamp(1e-6, 1 - 1e-6)
        return -(yes * chance.log() + (1 - yes) * (1 - chance).log()).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 450)


def gates_shut_for_good(s: LoopSetting) -> float:
    """A hard gate multiplies what a body says, and its biases of -9 hold it at 0; biases of 0 cure it."""
    body, gate, head = mlp(10, 32, 32), nn.Linear(10, 32), nn.Linear(32, 3)
    model = nn.ModuleList([body, gate, head])
    with torch.no_grad():
        gate.bias.fill_(0.0 if s.is_cured else -9.0)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 10)
        hidden = F.hardsigmoid(gate(rows)) * body(rows)
        return F.cross_entropy(head(hidden), rows[:, :3].argmax(1))

    return minimise(s, model, Adagrad(model.parameters(), 0.03), loss_at, 500)


def mask_upside_down(s: LoopSetting) -> float:
    """The mask keeps the padding and drops the words: their table gets nothing; its reverse cures it."""
    table, cell, head = nn.Embedding(20, 16, padding_idx=0), nn.Linear(16, 24), nn.Linear(24, 2)
    model = nn.ModuleList([table, cell, head])

    def loss_at(step: int) -> Tensor:
        words = torch.randint(1, 20, (48, 12), generator=s.data)
        lengths = torch.randint(4, 12, (48, 1), generator=s.data)
        is_word = torch.arange(12) < lengths
        words = words * is_word
        answer = ((words > 10).sum(1) * 2 > lengths[:, 0]).long()
        kept = (is_word if s.is_cured else ~is_word).float()[..., None]
        pooled = (table(words) * kept).sum(1) / kept.sum(1)
        return F.cross_entropy(head(cell(pooled).relu()), answer)

    return minimise(s, model, AdamW(model.parameters(), 3e-3), loss_at, 450)


LOOPS = {
    "product_of_two_marked": (product_of_two_marked, 0.4),
    "leaky_memory": (leaky_memory, 0.4),
    "forty_rounds_of_one_layer": (forty_rounds_of_one_layer, 0.1),
    "deep_filters_of_a_series": (deep_filters_of_a_series, 0.3),
    "critic_too_sure": (critic_too_sure, -0.5),
    "filters_decayed_to_nothing": (filters_decayed_to_nothing, 0.6),
    "clamped_before_the_logarithm": (clamped_before_the_logarithm, 0.3),
    "gates_shut_for_good": (gates_shut_for_good, 0.6),
    "mask_upside_down": (mask_upside_down, 0.45),
}
"""Each loop, and the number that a run which learnt comes below."""
