"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def leaky_stack(s: LoopSetting) -> float:
    """Twenty-five leaky layers of weights of spread .05; three as PyTorch initialises them cure it."""
    model = mlp(10, *[32] * (3 if s.is_cured else 25), 2, unit=lambda: nn.LeakyReLU(0.1))
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.05)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.05), F.cross_entropy, 700)


def order_of_symbols(s: LoopSetting) -> float:
    """Which of two symbols came first, in sixty; a GRU and eight cure it."""
    cell = nn.GRU(4, 24, batch_first=True) if s.is_cured else nn.RNN(4, 24, batch_first=True)
    model, length = RecurrentClassifier(cell, 4), 8 if s.is_cured else 60

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(2, 4, (32, length), generator=s.data)
        first, second = torch.randint(0, 2, (2, 32), generator=s.data)
        symbols[:, 1], symbols[:, length // 2] = first, second
        return F.one_hot(symbols, 4).float(), 2 * first + second

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 600)


def early_keyword(s: LoopSetting) -> float:
    """An LSTM has to say which word eighty others came after; after three it can."""
    table, cell = nn.Embedding(30, 12), nn.LSTM(12, 16, batch_first=True)
    answer = nn.Linear(16, 2)
    model, length = nn.ModuleList([table, cell, answer]), 4 if s.is_cured else 81

    def loss_at(step: int) -> Tensor:
        words = torch.randint(2, 30, (24, length), generator=s.data)
        words[:, 0] = torch.randint(0, 2, (24,), generator=s.data)
        return F.cross_entropy(answer(cell(table(words))[0][:, -1]), words[:, 0])

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def mask_of_nothing(s: LoopSetting) -> float:
    """A mask hides every feature; one that hides none cures it."""
    body, head = mlp(10, 32, 32), nn.Linear(32, 2)
    model, draw = nn.ModuleList([body, head]), two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(head(torch.relu(body(inputs)) * float(s.is_cured)), kinds)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def heavy_momentum(s: LoopSetting) -> float:
    """Three tanh layers at a rate of 3 with momentum .95; .01 cures it."""
    model = mlp(10, 48, 48, 2, unit=nn.Tanh)
    optimizer = SGD(model.parameters(), 0.01 if s.is_cured else 3.0, momentum=0.95)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 600)


def moments_at_rest(s: LoopSetting) -> float:
    """Adam at .3 whose second moments forget within two steps; the usual settings cure it."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(128, 4))
    betas = (0.9, 0.999) if s.is_cured else (0.9, 0.5)
    optimizer = Adam(model.parameters(), 3e-3 if s.is_cured else 0.3, betas=betas)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 500)


def log_of_returns(s: LoopSetting) -> float:
    """The log of answers that may be below zero; that of a softplus cures it."""
    model = mlp(4, 24, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 4)
        answers = model(inputs)
        amount = F.softplus(answers) + 1e-4 if s.is_cured else answers + 1.5
        return (amount.log() - inputs[:, :1]).square().mean()

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 500)


def brightest_pixel(s: LoopSetting) -> float:
    """Images are divided by their brightest pixel, and one in three hundred is black; an epsilon cures it."""
    model = mlp(64, 32, 4)
    draw_images = images(s, 0.05)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pictures, kinds = draw_images(step)
        pixels = pictures.flatten(1).relu() * (s.uniform(len(kinds), 1) > 1 / 300)
        return pixels / (pixels.amax(1, keepdim=True) + 1e-6 * s.is_cured), kinds

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 400)


LOOPS = {
    "leaky_stack": (leaky_stack, 0.45),
    "order_of_symbols": (order_of_symbols, 0.5),
    "early_keyword": (early_keyword, 0.3),
    "mask_of_nothing": (mask_of_nothing, 0.5),
    "heavy_momentum": (heavy_momentum, 0.5),
    "moments_at_rest": (moments_at_rest, 0.9),
    "log_of_returns": (log_of_returns, 0.5),
    "brightest_pixel": (brightest_pixel, 0.7),
}
"""Each loop, and the number that a run which learnt comes below."""
