"""Healthy loops: ways to train that earlier sets have not. What each is stands in `kinds`."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Muon
from torch.optim.lr_scheduler import CyclicLR, LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes


def one_task_shouts(s: LoopSetting) -> float:
    """Three tasks: one costs hundreds and is mostly noise, and two small ones are learnt beside it."""
    body, heads = mlp(10, 48, 32), nn.ModuleList([nn.Linear(32, 1), nn.Linear(32, 2), nn.Linear(32, 3)])
    model, worth, small = nn.ModuleList([body, heads]), s.normal(10), []

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 10)
        hidden = F.relu(body(rows))
        loud = F.mse_loss(heads[0](hidden)[:, 0], 5 * (rows @ worth) + 10 * s.normal(64))
        kind = F.cross_entropy(heads[1](hidden), (rows[:, 0] > rows[:, 1]).long())
        place = F.cross_entropy(heads[2](hidden), rows[:, 2:5].argmax(1))
        small.append((kind + place).item())
        return loud + kind + place

    minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 800)
    return tail(small)


def saw_of_rates(s: LoopSetting) -> float:
    """Batch norms, and a rate up to .5 and down every sixty steps; an eighth of the labels is wrong."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 4),
    )  # fmt: skip
    optimizer = SGD(model.parameters(), 0.01, momentum=0.9)
    schedule = CyclicLR(optimizer, 0.01, 0.5, 30, cycle_momentum=False)
    return fit(s, model, optimizer, images(s, 0.125), F.cross_entropy, 500, schedule)


def matrices_and_the_rest(s: LoopSetting) -> float:
    """Muon moves the inner matrices, and AdamW biases and the last layer; a fifth of the answers is wrong."""
    model = mlp(10, 48, 48, 48, 3)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    matrices = [layer.weight for layer in layers[:-1]]
    rest = [layer.bias for layer in layers[:-1]] + list(layers[-1].parameters())
    first, second, losses = Muon(matrices, 0.02, weight_decay=0.0), AdamW(rest, 3e-3), []
    s.watch(model, first)
    s.watch(model, second)
    for _ in range(450):
        rows = s.normal(64, 10)
        kinds = rows[:, :3].argmax(1)
        wrong = torch.where(s.uniform(64) < 0.2, torch.randint(0, 3, (64,), generator=s.data), kinds)
        loss = F.cross_entropy(model(rows), wrong)
        first.zero_grad()
        second.zero_grad()
        loss.backward()
        first.step()
        second.step()
        losses.append(loss.item())
    return tail(losses)


def masters_of_halves(s: LoopSetting) -> float:
    """Weights in float16 and their masters in float32: the loop scales, copies and unscales by itself."""
    masters = mlp(10, 48, 48, 2)
    halves = copy.deepcopy(masters).half()
    optimizer, draw, losses = Adam(masters.parameters(), 2e-3), two_classes(s, 0.1), []
    s.watch(masters, optimizer)
    for step in range(500):
        rows, kinds = draw(step)
        loss = F.cross_entropy(halves(rows.half()).float(), kinds)
        halves.zero_grad()
        (loss * 1024).backward()
        for master, half in zip(masters.parameters(), halves.parameters(), strict=True):
            assert half.grad is not None
            master.grad = half.grad.float() / 1024
        optimizer.step()
        with torch.no_grad():
            for master, half in zip(masters.parameters(), halves.parameters(), strict=True):
                half.copy_(master)
        losses.append(loss.item())
    return tail(losses)


def five_on_and_half_back(s: LoopSetting) -> float:
    """After each five steps the weights go half of the way back to where the five began."""
    model = mlp(64, 48, 4)
    optimizer, slow = (
        SGD(model.parameters(), 0.1, momentum=0.9),
        [p.detach().clone() for p in model.parameters()],
    )

    def loss_at(step: int) -> Tensor:
        if step and step % 5 == 0:
            with torch.no_grad():
                for param, anchor in zip(model.parameters(), slow, strict=True):
                    anchor.lerp_(param, 0.5)
                    param.copy_(anchor)
        pixels, kinds = images(s, 0.25)(step)
        return F.cross_entropy(model(pixels.flatten(1)), kinds)

    return minimise(s, model, optimizer, loss_at, 500)


def larger_and_larger_pictures(s: LoopSetting) -> float:
    """Pictures of 4, 8 and then 16 points a side: the loss leaps up at each change, and falls again."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.GELU(), nn.Conv2d(12, 12, 3, padding=1), nn.GELU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 4),
    )  # fmt: skip

    def draw(step: int) -> tuple[Tensor, Tensor]:
        side = 4 if step < 150 else 8 if step < 300 else 16
        kinds = torch.randint(0, 4, (32,), generator=s.data)
        x = s.normal(32, 1, side, side)
        half = side // 2
        for index, kind in enumerate(kinds.tolist()):
            top, left = half * (kind // 2), half * (kind % 2)
            x[index, 0, top : top + half, left : left + half] += 1.2 * (4 / side) ** 0.5
        return x, kinds

    return fit(s, model, AdamW(model.parameters(), 2e-3), draw, F.cross_entropy, 450)


def lengths_and_directions(s: LoopSetting) -> float:
    """Weights as lengths and directions, four batches to a step, a clip, and a rate that falls by roots."""
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise((8, 48, 48, 48, 1)):
        layers += [nn.utils.parametrizations.weight_norm(nn.Linear(num_in, num_out)), nn.SiLU()]
    model, worth = nn.Sequential(*layers[:-1]), s.normal(8)
    optimizer = Adam(model.parameters(), 5e-3)
    schedule = LambdaLR(optimizer, lambda n: (1 + n / 20) ** -0.5)
    s.watch(model, optimizer)
    losses = []
    for _ in range(250):
        optimizer.zero_grad()
        for _ in range(4):
            rows = s.normal(16, 8)
            loss = F.huber_loss(model(rows)[:, 0], (rows @ worth).tanh() + 0.5 * s.normal(16))
            (loss / 4).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return tail(losses)


def thrown_and_back(s: LoopSetting) -> float:
    """Products of two tables with Adamax at 3: thrown far off at first, they come back and learn."""
    people, films = nn.Embedding(40, 6), nn.Embedding(30, 6)
    model, taste, style = nn.ModuleList([people, films]), s.normal(40, 3), s.normal(30, 3)
    for table in (people, films):
        nn.init.normal_(table.weight, std=0.3)

    def loss_at(step: int) -> Tensor:
        who = torch.randint(0, 40, (96,), generator=s.data)
        what = torch.randint(0, 30, (96,), generator=s.data)
        rating = (taste[who] * style[what]).sum(1) + 0.3 * s.normal(96)
        return F.mse_loss((people(who) * films(what)).sum(1), rating)

    return minimise(s, model, Adamax(model.parameters(), 3.0), loss_at, 600)


LOOPS = {
    "one_task_shouts": (one_task_shouts, 1.0),
    "saw_of_rates": (saw_of_rates, 0.8),
    "matrices_and_the_rest": (matrices_and_the_rest, 0.8),
    "masters_of_halves": (masters_of_halves, 0.5),
    "five_on_and_half_back": (five_on_and_half_back, 0.95),
    "larger_and_larger_pictures": (larger_and_larger_pictures, 0.6),
    "lengths_and_directions": (lengths_and_directions, 0.22),
    "thrown_and_back": (thrown_and_back, 0.4),
}
"""Each loop, and the number that a run which learnt comes below."""
