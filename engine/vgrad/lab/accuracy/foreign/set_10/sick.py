"""Sick loops with ordinary causes, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def _normal_weights(model: nn.Module, std: float) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)


def ten_sigmoids(s: LoopSetting) -> float:
    """Ten sigmoid layers with plain SGD on images; two of ReLU cure it."""
    model = mlp(64, 48, 48, 4) if s.is_cured else mlp(64, *[48] * 10, 4, unit=nn.Sigmoid)
    draw = images(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs.flatten(1)), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 600)


def forty_tanh(s: LoopSetting) -> float:
    """Forty tanh layers as PyTorch starts them, with SGD; three cure it."""
    model = mlp(10, *[32] * (3 if s.is_cured else 40), 2, unit=nn.Tanh)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.05), F.cross_entropy, 600)


def hundredth_weights(s: LoopSetting) -> float:
    """Eight ReLU layers of weights around .01; He's cure it."""
    model, worth = mlp(8, *[48] * 8, 1), s.normal(8, 1)
    if s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        _normal_weights(model, 0.01)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        return inputs, (inputs @ worth).tanh()

    return fit(s, model, SGD(model.parameters(), 0.02), draw, F.mse_loss, 700)


def first_of_sixty(s: LoopSetting) -> float:
    """A plain RNN and the first of sixty symbols; the first of five cures it."""
    model, length = RecurrentClassifier(nn.RNN(4, 32, batch_first=True), 4), 5 if s.is_cured else 60

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 4, (32, length), generator=s.data)
        return F.one_hot(symbols, 4).float(), symbols[:, 0]

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 500)


def salaries_into_sigmoid(s: LoopSetting) -> float:
    """Raw columns of thousands, a sigmoid answer and squared errors; standardised ones cure it."""
    model, draw = nn.Sequential(*mlp(10, 48, 1), nn.Sigmoid()), two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        raw = inputs if s.is_cured else 40000 + 5000 * inputs
        return F.mse_loss(model(raw)[:, 0], kinds.float())

    return minimise(s, model, SGD(model.parameters(), 0.5), loss_at, 500)


def drowned_units(s: LoopSetting) -> float:
    """Biases of -10 before the first ReLU; biases of 0 cure it."""
    model = mlp(10, 48, 48, 2)
    if not s.is_cured:
        first = model[0]
        assert isinstance(first, nn.Linear)
        nn.init.constant_(first.bias, -10.0)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.05), F.cross_entropy, 500)


def softmax_of_one(s: LoopSetting) -> float:
    """A softmax over one unit is always 1; a sigmoid cures it."""
    model, draw = mlp(10, 32, 1), two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        out = model(inputs).sigmoid() if s.is_cured else model(inputs).softmax(1)
        return F.binary_cross_entropy(out[:, 0].clamp(1e-6, 1 - 1e-6), kinds.float())

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 500)


def log_of_softmax(s: LoopSetting) -> float:
    """The logarithm of a softmax, once a share has become exactly 0; the library's loss cures it."""
    model, draw = mlp(10, 48, 3), two_classes(s, 0.02)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        logits = model(20 * inputs)
        if s.is_cured:
            return F.cross_entropy(logits, kinds)
        return -logits.softmax(1).log().gather(1, kinds[:, None]).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-2), loss_at, 500)


def counts_by_exp(s: LoopSetting) -> float:
    """A Poisson rate of exp of raw columns overflows; scaled columns cure it."""
    model, worth = nn.Linear(4, 1), 0.3 * s.normal(4, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 4)
        counts = torch.poisson((inputs @ worth).exp(), generator=s.data)
        rate = model(inputs if s.is_cured else 60 * inputs).exp()
        return (rate - counts * (rate + 1e-8).log()).mean()

    return minimise(s, model, SGD(model.parameters(), 0.05), loss_at, 400)


def half_of_large_units(s: LoopSetting) -> float:
    """Inputs of 3,000 through a float16 layer overflow; float32 and scaled inputs cure it."""
    model, worth = mlp(6, 64, 1), s.normal(6, 1)
    if not s.is_cured:
        model.half()

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        goal = inputs @ worth
        out = model(inputs) if s.is_cured else model((3000 * inputs).half())
        return F.mse_loss(out, goal if s.is_cured else 3000 * goal.half())

    return minimise(s, model, SGD(model.parameters(), 0.01), loss_at, 400)


def standardised_constant(s: LoopSetting) -> float:
    """Columns are divided by their deviation in the batch, and one becomes constant; an epsilon cures it."""
    model, worth = mlp(6, 32, 1), s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        if step >= 150:
            inputs[:, 2] = 1.0
        scaled = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-3 * s.is_cured)
        return scaled, inputs @ worth

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.mse_loss, 500)


def adam_at_one(s: LoopSetting) -> float:
    """A perceptron with Adam at a rate of 1; 3e-3 cures it."""
    model = mlp(10, 64, 64, 2)
    optimizer = Adam(model.parameters(), 3e-3 if s.is_cured else 1.0)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 600)


def momentum_at_three(s: LoopSetting) -> float:
    """Convolutions with momentum at a rate of 3; .02 cures it."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(128, 4))
    optimizer = SGD(model.parameters(), 0.02 if s.is_cured else 3.0, momentum=0.9)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 500)


def unit_weights(s: LoopSetting) -> float:
    """Six ReLU layers of weights of a standard normal, 64 wide; PyTorch's own cure it."""
    model = mlp(64, *[64] * 6, 4)
    if not s.is_cured:
        _normal_weights(model, 1.0)
    draw = images(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs.flatten(1)), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.1), loss_at, 600)


def prices_in_thousands(s: LoopSetting) -> float:
    """Targets of 3,000 and momentum at .1; targets of 3 cure it."""
    model, worth = mlp(8, 48, 1), s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        return inputs, (3 + inputs @ worth) * (1 if s.is_cured else 1000)

    optimizer = SGD(model.parameters(), 0.01 if s.is_cured else 0.1, momentum=0.9)
    return fit(s, model, optimizer, draw, F.mse_loss, 500)


def forgotten_zero_grad(s: LoopSetting) -> float:
    """Convolutions, and nobody calls zero_grad; calling it cures it."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    optimizer = SGD(model.parameters(), 0.1)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 500, zeroes=s.is_cured)


def recurrence_times_four(s: LoopSetting) -> float:
    """A plain RNN whose recurrent weights are four times PyTorch's own, with SGD; its own cure it."""
    model = RecurrentClassifier(nn.RNN(2, 32, batch_first=True), 2)
    if not s.is_cured:
        with torch.no_grad():
            for name, param in model.cell.named_parameters():
                if name == "weight_hh_l0":
                    param.mul_(4)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 30, 2)
        return series, (series[:, -4:, 0].sum(1) > 0).long()

    optimizer = Adam(model.parameters(), 3e-3) if s.is_cured else SGD(model.parameters(), 1.0)
    return fit(s, model, optimizer, draw, F.cross_entropy, 600)


def rising_rate(s: LoopSetting) -> float:
    """A schedule with a factor of 1.02 where .98 was meant; a factor of .998 cures it."""
    model, worth = mlp(8, 48, 1), s.normal(8, 1)
    optimizer = SGD(model.parameters(), 0.01)
    schedule = ExponentialLR(optimizer, 0.998 if s.is_cured else 1.02)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        return inputs, (inputs @ worth).tanh()

    return fit(s, model, optimizer, draw, F.mse_loss, 500, schedule)


def hasty_transformer(s: LoopSetting) -> float:
    """A post-norm transformer of three blocks with Adam at .05 and no warm-up; 1e-3 cures it."""
    body = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
    read, blocks, answer = nn.Linear(4, 32), nn.TransformerEncoder(body, 3), nn.Linear(32, 4)
    model = nn.ModuleList([read, blocks, answer])

    def loss_at(step: int) -> Tensor:
        symbols = torch.randint(0, 4, (32, 9), generator=s.data)
        counted = F.one_hot(symbols, 4).float()
        return F.cross_entropy(answer(blocks(read(counted)).mean(1)), counted.sum(1).argmax(1))

    return minimise(s, model, Adam(model.parameters(), 1e-3 if s.is_cured else 0.05), loss_at, 400)


LOOPS = {
    "ten_sigmoids": (ten_sigmoids, 0.6),
    "forty_tanh": (forty_tanh, 0.4),
    "hundredth_weights": (hundredth_weights, 0.2),
    "first_of_sixty": (first_of_sixty, 0.5),
    "salaries_into_sigmoid": (salaries_into_sigmoid, 0.15),
    "drowned_units": (drowned_units, 0.4),
    "softmax_of_one": (softmax_of_one, 0.5),
    "log_of_softmax": (log_of_softmax, 0.5),
    "counts_by_exp": (counts_by_exp, 1.3),
    "half_of_large_units": (half_of_large_units, 0.5),
    "standardised_constant": (standardised_constant, 0.5),
    "adam_at_one": (adam_at_one, 0.45),
    "momentum_at_three": (momentum_at_three, 0.6),
    "unit_weights": (unit_weights, 0.6),
    "prices_in_thousands": (prices_in_thousands, 1.0),
    "forgotten_zero_grad": (forgotten_zero_grad, 0.5),
    "recurrence_times_four": (recurrence_times_four, 0.4),
    "rising_rate": (rising_rate, 0.3),
    "hasty_transformer": (hasty_transformer, 0.6),
}
"""Each loop, and the number that a run which learnt comes below."""
