"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def rate_of_fifty(s: LoopSetting) -> float:
    """A perceptron with plain SGD at a rate of 50; .1 cures it."""
    model = mlp(10, 48, 48, 3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 10)
        return inputs, inputs[:, :3].argmax(1)

    return fit(s, model, SGD(model.parameters(), 0.1 if s.is_cured else 50.0), draw, F.cross_entropy, 600)


def rmsprop_at_one(s: LoopSetting) -> float:
    """RMSprop at a rate of 1; 1e-3 cures it."""
    model = mlp(10, 64, 2, unit=nn.Tanh)
    optimizer = RMSprop(model.parameters(), 1e-3 if s.is_cured else 1.0)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 600)


def twelve_small_tanh(s: LoopSetting) -> float:
    """Twelve tanh layers of weights around .05 on images; PyTorch's own in three cure it."""
    model, draw = mlp(64, *[32] * (3 if s.is_cured else 12), 4, unit=nn.Tanh), images(s, 0.05)
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs.flatten(1)), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 500)


def numbers_to_add(s: LoopSetting) -> float:
    """A plain RNN adds two marked numbers of fifty; of four it can."""
    model, length = RecurrentClassifier(nn.RNN(2, 32, batch_first=True), 1), 4 if s.is_cured else 50

    def draw(step: int) -> tuple[Tensor, Tensor]:
        values, marks = s.uniform(32, length), torch.zeros(32, length)
        half = length // 2
        rows = torch.arange(32)
        marks[rows, torch.randint(0, half, (32,), generator=s.data)] = 1
        marks[rows, torch.randint(half, length, (32,), generator=s.data)] = 1
        return torch.stack([values, marks], 2), (values * marks).sum(1, keepdim=True)

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.mse_loss, 600)


def first_of_a_hundred(s: LoopSetting) -> float:
    """An LSTM and the first of a hundred symbols; the first of four cures it."""
    model, length = RecurrentClassifier(nn.LSTM(3, 24, batch_first=True), 3), 4 if s.is_cured else 100

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 3, (32, length), generator=s.data)
        return F.one_hot(symbols, 3).float(), symbols[:, 0]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 450)


def shut_filters(s: LoopSetting) -> float:
    """Biases of -15 before the ReLU of a convolution; biases of 0 cure it."""
    first = nn.Conv2d(1, 8, 3)
    if not s.is_cured:
        assert first.bias is not None
        nn.init.constant_(first.bias, -15.0)
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    return fit(s, model, Adam(model.parameters(), 3e-3), images(s, 0.05), F.cross_entropy, 500)


def length_of_a_difference(s: LoopSetting) -> float:
    """The length of a difference that is zero in some rows has no slope; an epsilon cures it."""
    model = mlp(6, 32, 8)

    def loss_at(step: int) -> Tensor:
        left = s.normal(32, 6)
        alike = s.uniform(32, 1) < 0.05
        right = torch.where(alike, left, left + s.normal(32, 6))
        square = (model(left) - model(right)).square().sum(1)
        length = (square + 1e-6 * s.is_cured).sqrt()
        return F.mse_loss(length, (left - right).norm(dim=1))

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def sum_of_squares(s: LoopSetting) -> float:
    """Squared errors are summed over the batch, at a rate for their mean; the mean cures it."""
    model, worth = mlp(8, 64, 1), s.normal(8, 1)
    loss_fn = nn.MSELoss(reduction="mean" if s.is_cured else "sum")

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(256, 8)
        return inputs, inputs @ worth

    return fit(s, model, SGD(model.parameters(), 0.05), draw, loss_fn, 400)


def adam_on_images(s: LoopSetting) -> float:
    """Convolutions with Adam at a rate of .5; 2e-3 cures it."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(128, 4))
    optimizer = Adam(model.parameters(), 2e-3 if s.is_cured else 0.5)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 500)


def sums_of_gradients(s: LoopSetting) -> float:
    """A perceptron with momentum, and zero_grad is missing; calling it cures it."""
    model = mlp(10, 48, 2)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    return fit(s, model, optimizer, two_classes(s, 0.1), F.cross_entropy, 500, zeroes=s.is_cured)


LOOPS = {
    "rate_of_fifty": (rate_of_fifty, 0.5),
    "rmsprop_at_one": (rmsprop_at_one, 0.5),
    "twelve_small_tanh": (twelve_small_tanh, 0.6),
    "numbers_to_add": (numbers_to_add, 0.05),
    "first_of_a_hundred": (first_of_a_hundred, 0.5),
    "shut_filters": (shut_filters, 0.6),
    "length_of_a_difference": (length_of_a_difference, 0.5),
    "sum_of_squares": (sum_of_squares, 0.3),
    "adam_on_images": (adam_on_images, 0.6),
    "sums_of_gradients": (sums_of_gradients, 0.5),
}
"""Each loop, and the number that a run which learnt comes below."""
