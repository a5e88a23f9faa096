"""Sick loops that explode, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier
from vgrad.lab.accuracy.foreign.set_4.healthy import SymbolEncoder


def raw_targets(s: LoopSetting) -> float:
    """House prices as they are, with squared errors and an ordinary rate."""
    model = mlp(8, 32, 1)
    weights = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8)
        scaled = inputs @ weights + 0.1 * s.normal(32, 1)
        return inputs, scaled if s.is_cured else 2e4 + 5e3 * scaled

    return fit(s, model, SGD(model.parameters(), 0.01), draw, F.mse_loss, 400)


def raw_features(s: LoopSetting) -> float:
    """Features of 0 to 1000 that nobody has scaled, with ReLU and momentum."""
    model = mlp(10, 48, 48, 2)
    draw = two_classes(s, 0.02)

    def raw(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return (inputs if s.is_cured else 200 * (inputs + 2.5)), targets

    return fit(s, model, SGD(model.parameters(), 0.05, momentum=0.9), raw, F.cross_entropy, 500)


def conv_rate(s: LoopSetting) -> float:
    """A convolutional net at a rate of 3."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.LeakyReLU(), nn.Flatten(), nn.Linear(128, 4),
    )  # fmt: skip
    return fit(
        s, model, SGD(model.parameters(), 0.05 if s.is_cured else 3.0), images(s, 0.05), F.cross_entropy, 350
    )


def lstm_rate(s: LoopSetting) -> float:
    """An LSTM with Adam at a rate of 1."""
    model = RecurrentClassifier(nn.LSTM(3, 24, batch_first=True), 3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 10, 3)
        return inputs, inputs.sum(1).argmax(1)

    return fit(s, model, Adam(model.parameters(), 5e-3 if s.is_cured else 1.0), draw, F.cross_entropy, 450)


def rmsprop_rate(s: LoopSetting) -> float:
    """An autoencoder with RMSprop at a rate of .5."""
    model = mlp(12, 24, 4, 24, 12)
    mix = s.normal(4, 12)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 4) @ mix
        return inputs, inputs

    return fit(s, model, RMSprop(model.parameters(), 3e-3 if s.is_cured else 0.5), draw, F.mse_loss, 500)


def ramp_too_high(s: LoopSetting) -> float:
    """An encoder whose warm-up goes on to a hundred times the usual rate."""
    model = SymbolEncoder(8, 8, 8)
    optimizer = Adam(model.parameters(), 5e-3)
    top = 1.0 if s.is_cured else 200.0
    schedule = LambdaLR(optimizer, lambda step: min(step / 300, 1.0) * top)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 8, (24, 8), generator=s.data)
        return symbols, symbols.roll(1, 1)

    return fit(s, model, optimizer, draw, F.cross_entropy, 600, schedule)


def ascent(s: LoopSetting) -> float:
    """``maximize=True`` was left in the optimizer: the loss is climbed."""
    model = mlp(10, 32, 2)
    optimizer = SGD(model.parameters(), 0.1, maximize=not s.is_cured)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 400)


def rnn_gain(s: LoopSetting) -> float:
    """A plain RNN with recurrent weights of spread .5, at a rate of 1 and without clipping."""
    cell = nn.RNN(3, 32, batch_first=True)
    if not s.is_cured:
        with torch.no_grad():
            nn.init.normal_(cell.get_parameter("weight_hh_l0"), std=0.5)
    model = RecurrentClassifier(cell, 3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 20, 3)
        return inputs, inputs.sum(1).argmax(1)

    optimizer = Adam(model.parameters(), 3e-3) if s.is_cured else SGD(model.parameters(), 1.0)
    return fit(s, model, optimizer, draw, F.cross_entropy, 500)


def wide_linear_stack(s: LoopSetting) -> float:
    """Twelve layers without units whose weights nearly double their inputs."""
    model = mlp(10, *[32] * (2 if s.is_cured else 12), 1, unit=nn.Identity)
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.3)
    weights = s.normal(10, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 10)
        return inputs, inputs @ weights

    return fit(s, model, SGD(model.parameters(), 0.02), draw, F.smooth_l1_loss, 400)


def generator_rate(s: LoopSetting) -> float:
    """A generator with Adam at a rate of 1 against an ordinary critic; returns the distance of the means."""
    generator, critic = mlp(3, 32, 2), mlp(2, 48, 48, 1)
    of_generator = Adam(generator.parameters(), 1e-3 if s.is_cured else 1.0, betas=(0.5, 0.9))
    of_critic = Adam(critic.parameters(), 2e-3, betas=(0.5, 0.9))
    s.watch(generator, of_generator)
    s.watch(critic, of_critic)
    goal, distances = torch.tensor([1.0, -1.0]), []
    for _ in range(700):
        real, fake = 0.5 * s.normal(64, 2) + goal, generator(s.normal(64, 3))
        of_critic.zero_grad()
        (F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()).backward()
        of_critic.step()
        of_generator.zero_grad()
        F.softplus(-critic(fake)).mean().backward()
        of_generator.step()
        distances.append((fake.mean(0) - goal).norm().item())
    return sum(distances[-70:]) / 70


def never_zeroed_recurrent(s: LoopSetting) -> float:
    """zero_grad is missing beside a GRU."""
    model = RecurrentClassifier(nn.GRU(3, 24, batch_first=True), 3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 8, 3)
        return inputs, inputs.sum(1).argmax(1)

    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 600, zeroes=s.is_cured)


def adagrad_wide(s: LoopSetting) -> float:
    """Adagrad at a rate of 3 on a regression: its first steps are the longest."""
    model = mlp(6, 48, 48, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        return inputs, torch.sin(inputs @ weights)

    return fit(s, model, Adagrad(model.parameters(), 0.03 if s.is_cured else 3.0), draw, F.mse_loss, 500)


LOOPS = {
    "raw_targets": (raw_targets, 0.5),
    "raw_features": (raw_features, 0.35),
    "conv_rate": (conv_rate, 0.7),
    "lstm_rate": (lstm_rate, 0.7),
    "rmsprop_rate": (rmsprop_rate, 0.6),
    "ramp_too_high": (ramp_too_high, 1.0),
    "ascent": (ascent, 0.35),
    "rnn_gain": (rnn_gain, 0.7),
    "wide_linear_stack": (wide_linear_stack, 0.1),
    "generator_rate": (generator_rate, 0.6),
    "never_zeroed_recurrent": (never_zeroed_recurrent, 0.6),
    "adagrad_wide": (adagrad_wide, 0.2),
}
"""Each loop, and the number that a run which learnt comes below."""
