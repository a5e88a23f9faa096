"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop
from torch.optim.lr_scheduler import CyclicLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier, Residual


def eighteen_sigmoids(s: LoopSetting) -> float:
    """Eighteen sigmoid layers with RMSprop; two of ReLU cure it."""
    model = mlp(10, 32, 32, 3) if s.is_cured else mlp(10, *[32] * 18, 3, unit=nn.Sigmoid)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rows = s.normal(64, 10)
        return rows, rows[:, :3].argmax(1)

    return fit(s, model, RMSprop(model.parameters(), 1e-3), draw, F.cross_entropy, 500)


def question_first(s: LoopSetting) -> float:
    """A GRU cell in a loop: the first of seventy words asks; of four it can."""
    cell, answer, length = nn.GRUCell(6, 24), nn.Linear(24, 4), 4 if s.is_cured else 70
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        words = torch.randint(0, 4, (24, length), generator=s.data)
        inputs, state = F.one_hot(words, 6).float(), torch.zeros(24, 24)
        for index in range(length):
            state = cell(inputs[:, index], state)
        return F.cross_entropy(answer(state), words[:, 0])

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 300)


def rain_of_last_month(s: LoopSetting) -> float:
    """A plain RNN and what fell forty days ago, squared by hand; of the day before it can."""
    model, lag = RecurrentClassifier(nn.RNN(2, 24, batch_first=True), 1), 1 if s.is_cured else 40

    def loss_at(step: int) -> Tensor:
        series = s.normal(32, 45, 2)
        return ((model(series) - series[:, -1 - lag, :1]) ** 2).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def dose_and_effect(s: LoopSetting) -> float:
    """An LSTM and the first of ninety doses, by its mean squared error; of three it can."""
    model, length = RecurrentClassifier(nn.LSTM(1, 24, batch_first=True), 1), 3 if s.is_cured else 90

    def draw(step: int) -> tuple[Tensor, Tensor]:
        doses = s.normal(32, length, 1)
        return doses, 3 + doses[:, 0]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 450)


def thirty_filters_deep(s: LoopSetting) -> float:
    """Thirty convolutions of small weights with tanh; two of usual ones cure it."""
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1), nn.Tanh()]
    for _ in range(1 if s.is_cured else 29):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.Tanh()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 4))
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.05)
    return fit(s, model, SGD(model.parameters(), 0.05, momentum=0.9), images(s), F.cross_entropy, 300)


class _Threshold(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """1 above zero, 0 below."""
        return (x > 0).to(x.dtype) + 0 * x


def yes_or_no_units(s: LoopSetting) -> float:
    """Three units that answer 0 or 1, before a head; sigmoids cure it."""
    unit = nn.Tanh if s.is_cured else _Threshold
    model = nn.Sequential(nn.Linear(10, 16), unit(), nn.Linear(16, 3), unit(), nn.Linear(3, 2))
    return fit(s, model, Adam(model.parameters(), 5e-3), two_classes(s), F.cross_entropy, 600)


def frozen_by_a_shift(s: LoopSetting) -> float:
    """Inputs around -30, and positive first weights; inputs around 0 cure it."""
    model = mlp(10, 48, 48, 2)
    with torch.no_grad():
        next(model.parameters()).abs_()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rows, kinds = two_classes(s)(step)
        return rows - 30 * (not s.is_cured), kinds

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.cross_entropy, 500)


def share_of_error(s: LoopSetting) -> float:
    """Errors as a share of a target that is 0 now and then; a least target cures it."""
    model, worth = mlp(6, 32, 1), s.normal(6, 1)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(48, 6)
        sold = F.relu(2 + rows @ worth)
        return ((model(rows) - sold).abs() / (sold.clamp(min=1) if s.is_cured else sold)).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 400)


def spread_of_one(s: LoopSetting) -> float:
    """Rewards are divided by their spread, and one batch in sixty is of one; leaving it out cures it."""
    model = mlp(4, 32, 4)

    def loss_at(step: int) -> Tensor:
        num = 1 if step % 60 == 59 else 32
        asked = torch.randint(0, 4, (num,), generator=s.data)
        chances = model(F.one_hot(asked, 4).float()).log_softmax(1)
        action = (chances.detach() - (-s.uniform(num, 4).log()).log()).argmax(1)
        reward = (action == asked).float()
        if num > 1 or not s.is_cured:
            reward = (reward - reward.mean()) / (reward.std() + 1e-6)
        return (
            -(chances[torch.arange(num), action] * reward).mean()
            + 0.02 * chances.exp().square().sum(1).mean()
        )

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def divergence_by_hand(s: LoopSetting) -> float:
    """A divergence p log(p / q) where q underflows to 0; the library's logarithm of a softmax cures it."""
    model, worth = mlp(8, 32, 6), s.normal(8, 6)
    with torch.no_grad():
        list(model.parameters())[-2].mul_(60)

    def loss_at(step: int) -> Tensor:
        rows = 4 * s.normal(48, 8)
        goal = (rows @ worth / 8).softmax(1)
        if s.is_cured:
            return F.kl_div(model(rows / 60).log_softmax(1), goal, reduction="batchmean")
        return (goal * (goal / model(rows).softmax(1)).log()).sum(1).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 400)


def mean_of_logarithms(s: LoopSetting) -> float:
    """A geometric mean of activities, some of which are 0; an epsilon cures it."""
    body, head = mlp(10, 32), nn.Linear(8, 2)
    model, draw = nn.ModuleList([body, head]), two_classes(s)

    def loss_at(step: int) -> Tensor:
        rows, kinds = draw(step)
        active = F.relu(body(rows)).view(64, 8, 4)
        return F.cross_entropy(head((active + 0.1 * s.is_cured).log().mean(2)), kinds)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 400)


def decay_of_forty(s: LoopSetting) -> float:
    """A weight decay of 41 at a rate of .05: each step turns the weights round; 5e-4 cures it."""
    model = mlp(10, 48, 2)
    optimizer = SGD(model.parameters(), 0.05, weight_decay=5e-4 if s.is_cured else 41.0)
    return fit(s, model, optimizer, two_classes(s), F.cross_entropy, 400)


def peak_of_a_cycle(s: LoopSetting) -> float:
    """Adam at a rate that goes up to 1 and down again every eighty steps; up to 5e-3 cures it."""
    model = mlp(64, 48, 48, 4)
    optimizer = Adam(model.parameters(), 1e-3)
    schedule = CyclicLR(optimizer, 1e-3, 5e-3 if s.is_cured else 1.0, 40, cycle_momentum=False)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pixels, kinds = images(s, 0.2)(step)
        return pixels.flatten(1), kinds

    return fit(s, model, optimizer, draw, F.cross_entropy, 500, schedule)


def megawatts(s: LoopSetting) -> float:
    """A GRU with Adam at 2 forecasts a load of 40 to 60; 1e-2 and a shifted load cure it."""
    cell, answer = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        load = 0.5 * s.normal(24, 25, 1).cumsum(1)
        shift = 0.0 if s.is_cured else 50.0
        return F.mse_loss(answer(cell(load[:, :-1] + shift)[0]), load[:, 1:] + shift)

    return minimise(s, model, Adam(model.parameters(), 1e-2 if s.is_cured else 2.0), loss_at, 400)


def towers_thrown(s: LoopSetting) -> float:
    """Two towers with a contrast and RMSprop at 1; 1e-3 cures it."""
    left, right = mlp(8, 32, 8), mlp(8, 32, 8)
    model, turn = nn.ModuleList([left, right]), s.normal(8, 8)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(32, 8)
        return F.cross_entropy(left(rows) @ right(rows @ turn).T, torch.arange(32))

    optimizer = RMSprop(model.parameters(), 1e-3 if s.is_cured else 1.0)
    return minimise(s, model, optimizer, loss_at, 500)


def blocks_thrown(s: LoopSetting) -> float:
    """Ten residual blocks with Adam at .3; 1e-3 cures it."""
    blocks = [Residual(mlp(32, 32, 32)) for _ in range(10)]
    model = nn.Sequential(nn.Linear(10, 32), *blocks, nn.Linear(32, 2))
    optimizer = Adam(model.parameters(), 1e-3 if s.is_cured else 0.3)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 400)


def zeroed_once_an_epoch(s: LoopSetting) -> float:
    """zero_grad is called once in sixty steps, beside momentum; at each step it cures it."""
    model, draw = mlp(10, 48, 48, 2), two_classes(s, 0.05)
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9)

    def loss_at(step: int) -> Tensor:
        if s.is_cured or step % 60 == 0:
            optimizer.zero_grad()
        rows, kinds = draw(step)
        return F.cross_entropy(model(rows), kinds)

    return minimise(s, model, optimizer, loss_at, 500, zeroes=False)


LOOPS = {
    "eighteen_sigmoids": (eighteen_sigmoids, 0.5),
    "question_first": (question_first, 0.7),
    "rain_of_last_month": (rain_of_last_month, 0.4),
    "dose_and_effect": (dose_and_effect, 0.4),
    "thirty_filters_deep": (thirty_filters_deep, 0.6),
    "yes_or_no_units": (yes_or_no_units, 0.25),
    "frozen_by_a_shift": (frozen_by_a_shift, 0.3),
    "share_of_error": (share_of_error, 0.5),
    "spread_of_one": (spread_of_one, 0.2),
    "divergence_by_hand": (divergence_by_hand, 0.5),
    "mean_of_logarithms": (mean_of_logarithms, 0.5),
    "decay_of_forty": (decay_of_forty, 0.4),
    "peak_of_a_cycle": (peak_of_a_cycle, 1.2),
    "megawatts": (megawatts, 1.0),
    "towers_thrown": (towers_thrown, 2.0),
    "blocks_thrown": (blocks_thrown, 0.5),
    "zeroed_once_an_epoch": (zeroed_once_an_epoch, 0.4),
}
"""Each loop, and the number that a run which learnt comes below."""
