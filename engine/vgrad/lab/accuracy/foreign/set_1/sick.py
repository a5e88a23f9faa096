"""Sick loops, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import Exp, LoopSetting, batches, circles, fit, mlp, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier, Residual

_BINARY = F.binary_cross_entropy_with_logits


def _circles(s: LoopSetting, depth: int, unit: type[nn.Module], steps: int = 900, lr: float = 1e-3) -> float:
    """The classifier of the circles that AUTOTRAINER (Zhang et al. 2021, arXiv:2102.04525) is tried on."""
    model = mlp(2, *[5] * depth, 1, unit=unit)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    points, inner = circles()
    draw = batches(s, points[:700], inner[:700], 128)
    return fit(s, model, Adam(model.parameters(), lr), draw, _BINARY, steps)


def circles_sigmoid(s: LoopSetting) -> float:
    """Vanishes; skip connections are not asked for, tanh is enough."""
    depth = 8 + int(torch.randint(0, 6, (), generator=s.data))
    if s.is_cured:
        return _circles(s, 5, nn.Tanh, 1200, 1e-2)
    return _circles(s, depth, nn.Sigmoid)


def circles_exp(s: LoopSetting) -> float:
    """Overflows."""
    return _circles(s, 8, nn.Tanh if s.is_cured else Exp, 1200 if s.is_cured else 200, 1e-2)


def circles_relu(s: LoopSetting) -> float:
    """May die."""
    if s.is_cured:
        return _circles(s, 5, nn.Tanh, 1200, 1e-2)
    return _circles(s, 15 + int(torch.randint(0, 3, (), generator=s.data)), nn.ReLU, 700)


def one_unit_softmax(s: LoopSetting) -> float:
    """Stack Overflow 31880720: the softmax of one number is 1, whatever the number."""
    draw = two_classes(s, 0.02)
    model = mlp(10, 24, 2 if s.is_cured else 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        chances = F.softmax(outputs, dim=1)[:, -1]
        return F.binary_cross_entropy(chances.clamp(1e-7, 1 - 1e-7), targets.float())

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, loss_fn, 500)


def sigmoid_head(s: LoopSetting) -> float:
    """Stack Overflow 48221692: targets of 3 to 103 behind a sigmoid."""
    body = mlp(6, 24, 1)
    model = body if s.is_cured else nn.Sequential(*body, nn.Sigmoid())
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        return inputs, (53 + 20 * torch.tanh(inputs @ weights) + 4 * s.normal(32, 1)).clamp(3, 103)

    optimizer = Adam(model.parameters(), 3e-2) if s.is_cured else SGD(model.parameters(), 0.05)
    return fit(s, model, optimizer, draw, F.mse_loss, 800)


def large_weights(s: LoopSetting) -> float:
    """Stack Overflow 48385830: N(0, 1) weights, linear units, squared error and SGD at 3."""
    unit = nn.Tanh if s.is_cured else nn.Identity
    model = mlp(784, 30, 10, unit=unit)
    if not s.is_cured:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    centres = s.normal(10, 784)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 10, (10,), generator=s.data)
        return centres[kinds] + 0.3 * s.normal(10, 784), F.one_hot(kinds, 10).float()

    return fit(s, model, SGD(model.parameters(), 0.1 if s.is_cured else 3.0), draw, F.mse_loss, 400)


def rate_too_high(s: LoopSetting) -> float:
    """A classifier thrown far off in its first steps, and again and again."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 0.1 if s.is_cured else 10.0, momentum=0.9)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 500)


def never_zeroed(s: LoopSetting) -> float:
    """Each step uses the sum of all gradients so far."""
    model = mlp(10, 32, 32, 2)
    draw = two_classes(s)
    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.cross_entropy, 600, zeroes=s.is_cured)


def dead_biases(s: LoopSetting) -> float:
    """No unit ever opens."""
    model = mlp(10, 32, 32, 32, 2)
    if not s.is_cured:
        with torch.no_grad():
            for layer in list(model)[:-1]:
                if isinstance(layer, nn.Linear):
                    layer.bias.sub_(8.0)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.02), F.cross_entropy, 500)


def deep_tanh(s: LoopSetting) -> float:
    """Default initialisation shrinks the gradient by a third in each of 30 layers."""
    layers: list[nn.Module] = [nn.Sequential(nn.Linear(20, 20), nn.Tanh()) for _ in range(30)]
    if s.is_cured:
        layers = [Residual(layer) for layer in layers]
    model = nn.Sequential(nn.Linear(10, 20), *layers, nn.Linear(20, 2))
    rate = 0.02 if s.is_cured else 0.1
    return fit(s, model, SGD(model.parameters(), rate), two_classes(s, 0.02), F.cross_entropy, 500)


def rnn_forgets(s: LoopSetting) -> float:
    """The sign of the first input, 40 steps ago; what comes between is noise."""
    cell: nn.RNNBase = nn.GRU(2, 24, batch_first=True) if s.is_cured else nn.RNN(2, 24, batch_first=True)
    if isinstance(cell, nn.GRU):
        with torch.no_grad():
            cell.get_parameter("bias_ih_l0")[24:48] += 3.0  # keeps its state from the start
    model = RecurrentClassifier(cell, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = torch.zeros(32, 40, 2)
        inputs[:, :, 0] = 0.3 * s.normal(32, 40)
        bit = (s.uniform(32) < 0.5).float()
        inputs[:, 0, 1] = 2 * bit - 1
        return inputs, bit.long()

    optimizer = Adam(model.parameters(), 3e-3) if s.is_cured else SGD(model.parameters(), 0.1)
    return fit(s, model, optimizer, draw, F.cross_entropy, 450)


def rnn_explodes(s: LoopSetting) -> float:
    """A running mean, with a recurrent matrix that doubles its state."""
    cell = nn.RNN(1, 32, batch_first=True, nonlinearity="tanh" if s.is_cured else "relu")
    if not s.is_cured:
        with torch.no_grad():
            cell.get_parameter("weight_hh_l0").copy_(1.15 * torch.eye(32) + 0.05 * torch.randn(32, 32))
    model = RecurrentClassifier(cell, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(24, 20, 1)
        return inputs, inputs.mean(1) * 3

    return fit(s, model, SGD(model.parameters(), 0.05 if s.is_cured else 0.3), draw, F.smooth_l1_loss, 500)


def killed_units(s: LoopSetting) -> float:
    """Adam at a rate of 1 pushes all biases below zero in its first steps."""
    model = mlp(10, 32, 32, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.uniform(64, 10) + 0.5
        return inputs, (inputs[:, 0] > inputs[:, 1]).long()

    return fit(s, model, Adam(model.parameters(), 5e-3 if s.is_cured else 1.0), draw, F.cross_entropy, 500)


def zero_weights(s: LoopSetting) -> float:
    """No layer but the last bias gets any gradient."""
    model = mlp(10, 32, 32, 2)
    if not s.is_cured:
        for param in model.parameters():
            nn.init.zeros_(param)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.02), F.cross_entropy, 500)


LOOPS = {
    "circles_sigmoid": (circles_sigmoid, 0.67),
    "circles_exp": (circles_exp, 0.67),
    "circles_relu": (circles_relu, 0.67),
    "one_unit_softmax": (one_unit_softmax, 0.4),
    "sigmoid_head": (sigmoid_head, 200.0),
    "large_weights": (large_weights, 0.07),
    "rate_too_high": (rate_too_high, 0.35),
    "never_zeroed": (never_zeroed, 0.25),
    "dead_biases": (dead_biases, 0.3),
    "deep_tanh": (deep_tanh, 0.35),
    "rnn_forgets": (rnn_forgets, 0.3),
    "rnn_explodes": (rnn_explodes, 0.2),
    "killed_units": (killed_units, 0.35),
    "zero_weights": (zero_weights, 0.35),
}
"""Each loop, and the number that a run which learnt comes below."""
