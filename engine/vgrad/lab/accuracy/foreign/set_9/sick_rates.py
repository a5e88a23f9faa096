"""Sick loops whose steps or weights are too large, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def rate_of_twenty(s: LoopSetting) -> float:
    """A perceptron with momentum at a rate of 20; .05 cures it."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 0.05 if s.is_cured else 20.0, momentum=0.9)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 500)


def triple_weights(s: LoopSetting) -> float:
    """Six ReLU layers of weights that each treble their inputs; PyTorch's own weights cure it."""
    model = mlp(10, *[32] * 6, 2)
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.75)
    optimizer = SGD(model.parameters(), 0.1 if s.is_cured else 0.01, momentum=0.9)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 600)


def rmsprop_convolutions(s: LoopSetting) -> float:
    """Convolutions with RMSprop at .5; 1e-3 cures it."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten())
    model.append(nn.Linear(128, 4))
    optimizer = RMSprop(model.parameters(), 1e-3 if s.is_cured else 0.5)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 500)


def never_zeroed_lstm(s: LoopSetting) -> float:
    """An LSTM whose gradients nobody sets to zero; zero_grad cures it."""
    model = RecurrentClassifier(nn.LSTM(2, 24, batch_first=True), 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 8, 2)
        return series, (series[:, :, 0].sum(1) > 0).long()

    optimizer = SGD(model.parameters(), 0.5)
    return fit(s, model, optimizer, draw, F.cross_entropy, 500, zeroes=s.is_cured)


def warm_up_too_far(s: LoopSetting) -> float:
    """A warm-up that goes on to a rate of 60 by step 600; one to .3 cures it."""
    model = mlp(10, 48, 48, 2)
    optimizer, highest = SGD(model.parameters(), 1.0, momentum=0.9), 0.3 if s.is_cured else 60.0
    schedule = LambdaLR(optimizer, lambda step: highest * step / 600)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 600, schedule)


def relu_recurrence(s: LoopSetting) -> float:
    """A recurrent ReLU layer that doubles its state at each of forty steps; a smaller matrix cures it."""
    model = RecurrentClassifier(nn.RNN(2, 24, nonlinearity="relu", batch_first=True), 1)
    length = 4 if s.is_cured else 40
    with torch.no_grad():
        for name, param in model.cell.named_parameters():
            if name == "weight_hh_l0":
                param.copy_((0.9 if s.is_cured else 2.0) * torch.eye(24))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, length, 2)
        return series, series[:, -1, :1]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 500)


def raw_salaries(s: LoopSetting) -> float:
    """Salaries of 50,000 as targets, plain SGD at .01; the same in units of 10,000 cure it."""
    model, worth = mlp(6, 24, 1), s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 6)
        return inputs, (5 + inputs @ worth) * (1 if s.is_cured else 1e4)

    return fit(s, model, SGD(model.parameters(), 0.01), draw, F.mse_loss, 500)


def adam_at_three(s: LoopSetting) -> float:
    """A layer norm, two more layers and Adam at a rate of 3; 3e-3 cures it."""
    model = nn.Sequential(nn.Linear(10, 48), nn.LayerNorm(48), nn.ReLU(), *mlp(48, 48, 2, unit=nn.GELU))
    optimizer = Adam(model.parameters(), 3e-3 if s.is_cured else 3.0)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 500)


LOOPS = {
    "rate_of_twenty": (rate_of_twenty, 0.45),
    "triple_weights": (triple_weights, 0.5),
    "rmsprop_convolutions": (rmsprop_convolutions, 0.8),
    "never_zeroed_lstm": (never_zeroed_lstm, 0.4),
    "warm_up_too_far": (warm_up_too_far, 0.45),
    "relu_recurrence": (relu_recurrence, 0.3),
    "raw_salaries": (raw_salaries, 5.0),
    "adam_at_three": (adam_at_three, 0.45),
}
