"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, batches, fit, images, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier, Residual
from vgrad.recipes.models.deep_stacks import NUM_TRAIN, load_digits


def glorot_relu_34(s: LoopSetting) -> float:
    """34 layers of 128 units on digits, Glorot: half of the variance is lost in each.

    With batches from the global generator, three of six seeds got exactly nothing in their first layer from
    about step 200 on. The others, and those of this loop, get next to nothing and learn nothing.
    """
    model = mlp(64, *[128] * (2 if s.is_cured else 33), 10)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    inputs, kinds = load_digits()
    draw = batches(s, inputs[:NUM_TRAIN], kinds[:NUM_TRAIN], 32)
    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 380)


def log_of_zero(s: LoopSetting) -> float:
    """The chance of a class as a product that underflows."""
    model = mlp(10, 24, 2)
    draw = two_classes(s)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        scale = 1.0 if s.is_cured else 40.0
        chances = F.softmax(scale * outputs, dim=1)
        log = F.log_softmax(outputs, dim=1) if s.is_cured else chances.log()
        return -log.gather(1, targets[:, None]).mean()

    return fit(s, model, SGD(model.parameters(), 0.3), draw, loss_fn, 300)


def half_precision_overflow(s: LoopSetting) -> float:
    """The loss is summed in float16."""
    model = mlp(10, 24, 1)
    weights = s.normal(10, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 10)
        return inputs, inputs @ weights * (1 if step < 40 else 40)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        square = (outputs - targets) ** 2
        if s.is_cured:
            return (square / 1600).mean()
        return square.half().sum().float() / 64

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, loss_fn, 600 if s.is_cured else 200)


def bad_sample(s: LoopSetting) -> float:
    """The fiftieth batch has a NaN in it."""
    model = mlp(10, 32, 2)
    good = two_classes(s)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = good(step)
        if step == 50 and not s.is_cured:
            inputs[0, 0] = math.nan
        return inputs, targets

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 400)


class Transformer(nn.Module):
    """Two layers of attention without normalisation, for the class of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 24)
        self.attend = nn.ModuleList(nn.MultiheadAttention(24, 2, batch_first=True) for _ in range(2))
        self.feed = nn.ModuleList(mlp(24, 48, 24) for _ in range(2))
        self.answer = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = self.embed(x)
        for attend, feed in zip(self.attend, self.feed, strict=True):
            h = h + attend(h, h, h, need_weights=False)[0]
            h = h + feed(h)
        result: Tensor = self.answer(h.mean(1))
        return result


def transformer_no_warmup(s: LoopSetting) -> float:
    """Which of two features is larger on average over eight positions."""
    model = Transformer()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8, 3)
        means = inputs.mean(1)
        return inputs, (means[:, 0] > means[:, 1]).long()

    optimizer = Adam(model.parameters(), 1e-3 if s.is_cured else 1.0)
    return fit(s, model, optimizer, draw, F.cross_entropy, 400)


def momentum_diverges(s: LoopSetting) -> float:
    """The steps of the past are added up to a hundred times the rate."""
    model = mlp(8, 48, 1, unit=nn.Tanh)
    weights = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8)
        return inputs, torch.sin(inputs @ weights)

    optimizer = SGD(model.parameters(), 3e-3 if s.is_cured else 0.6, momentum=0.99)
    return fit(s, model, optimizer, draw, F.mse_loss, 500)


def residual_blow_up(s: LoopSetting) -> float:
    """60 blocks double the activations' spread again and again."""
    blocks = [Residual(mlp(16, 16, 16)) for _ in range(60)]
    model = nn.Sequential(nn.Linear(10, 16), *blocks, nn.Linear(16, 2))
    if not s.is_cured:
        with torch.no_grad():
            for block in blocks:
                for param in block.parameters():
                    param.mul_(1.7)
    optimizer = Adam(model.parameters(), 1e-3) if s.is_cured else SGD(model.parameters(), 0.05)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 300)


def deep_conv_sigmoid(s: LoopSetting) -> float:
    """Each sigmoid shrinks the gradient to a quarter or less."""
    unit = nn.ReLU if s.is_cured else nn.Sigmoid
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1), unit()]
    for _ in range(1 if s.is_cured else 11):
        layers += [nn.Conv2d(8, 8, 3, padding=1), unit()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 4))
    return fit(s, model, SGD(model.parameters(), 0.1), images(s, num=16), F.cross_entropy, 360)


def saturated_start(s: LoopSetting) -> float:
    """Eight tanh layers with weights of spread 8."""
    model = mlp(10, *[24] * 8, 2, unit=nn.Tanh)
    if not s.is_cured:
        for layer in list(model)[:-1]:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=8.0)
    optimizer = Adam(model.parameters(), 1e-3) if s.is_cured else SGD(model.parameters(), 0.01)
    return fit(s, model, optimizer, two_classes(s, 0.02), F.cross_entropy, 500)


def lstm_forgets(s: LoopSetting) -> float:
    """A forget gate's bias of -4: the state is gone after two steps."""
    cell = nn.LSTM(2, 24, batch_first=True)
    with torch.no_grad():
        cell.get_parameter("bias_ih_l0")[24:48] = 4.0 if s.is_cured else -4.0
    model = RecurrentClassifier(cell, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = torch.zeros(32, 24, 2)
        inputs[:, :, 0] = 0.3 * s.normal(32, 24)
        bit = (s.uniform(32) < 0.5).float()
        inputs[:, 0, 1] = 2 * bit - 1
        return inputs, bit.long()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 450)


def relu_after_shift(s: LoopSetting) -> float:
    """Inputs around 30 that nobody has centred, and a first layer of negative weights."""
    model = mlp(10, 32, 32, 2)
    with torch.no_grad():
        first = model[0]
        assert isinstance(first, nn.Linear)
        if not s.is_cured:
            first.weight.copy_(-first.weight.abs())
    centred = two_classes(s, 0.02)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = centred(step)
        return (inputs if s.is_cured else inputs + 30), targets

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.cross_entropy, 500)


def gan_diverges(s: LoopSetting) -> float:
    """The critic's losses grow without bound; returns its mean loss."""
    generator, critic = mlp(4, 32, 2), mlp(2, 48, 48, 1)
    of_generator = Adam(generator.parameters(), 5e-4)
    of_critic = SGD(critic.parameters(), 0.01 if s.is_cured else 10.0)
    s.watch(generator, of_generator)
    s.watch(critic, of_critic)
    losses = []
    for _ in range(400):
        angle = 2 * math.pi * s.uniform(64)
        real = torch.stack([angle.cos(), angle.sin()], 1)
        fake = generator(s.normal(64, 4))
        of_critic.zero_grad()
        loss = ((critic(real) - 1) ** 2 + critic(fake.detach()) ** 2).mean()
        loss.backward()
        of_critic.step()
        of_generator.zero_grad()
        ((critic(fake) - 1) ** 2).mean().backward()
        of_generator.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return math.nan
    return tail(losses)


def late_explosion(s: LoopSetting) -> float:
    """Learns for 300 steps; then somebody's schedule multiplies the rate by a thousand."""
    model = mlp(8, 32, 32, 1, unit=nn.Tanh)
    weights = s.normal(8, 1)
    optimizer = SGD(model.parameters(), 0.05)
    factor = 1.0 if s.is_cured else 1000.0
    schedule = LambdaLR(optimizer, lambda step: 1.0 if step < 300 else factor)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8)
        return inputs, torch.sin(inputs @ weights)

    return fit(s, model, optimizer, draw, F.mse_loss, 700, schedule)


def never_zeroed_deep(s: LoopSetting) -> float:
    """Convolutions, momentum, and gradients that are sums."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 4),
    )  # fmt: skip
    optimizer = SGD(model.parameters(), 0.02, momentum=0.9)
    return fit(s, model, optimizer, images(s, 0.1), F.cross_entropy, 400, zeroes=s.is_cured)


LOOPS = {
    "glorot_relu_34": (glorot_relu_34, 0.6),
    "log_of_zero": (log_of_zero, 0.3),
    "half_precision_overflow": (half_precision_overflow, 1.0),
    "bad_sample": (bad_sample, 0.3),
    "transformer_no_warmup": (transformer_no_warmup, 0.4),
    "momentum_diverges": (momentum_diverges, 0.4),
    "residual_blow_up": (residual_blow_up, 0.4),
    "deep_conv_sigmoid": (deep_conv_sigmoid, 0.6),
    "saturated_start": (saturated_start, 0.35),
    "lstm_forgets": (lstm_forgets, 0.3),
    "relu_after_shift": (relu_after_shift, 0.35),
    "gan_diverges": (gan_diverges, 0.9),
    "late_explosion": (late_explosion, 0.35),
    "never_zeroed_deep": (never_zeroed_deep, 0.7),
}
"""Each loop, and the number that a run which learnt comes below."""
