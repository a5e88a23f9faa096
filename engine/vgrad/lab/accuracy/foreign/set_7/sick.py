"""Sick loops whose gradients vanish, die or explode, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Adamax, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def _clip(model: nn.Module, optimizer: Optimizer) -> None:
    """Clip all gradients of a step to a norm of 1."""

    def clip(*_: object) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    optimizer.register_step_pre_hook(clip)


def plain_vgg(s: LoopSetting) -> float:
    """Sixteen ReLU convolutions as PyTorch initialises them, no norms; batch norms cure it."""
    layers: list[nn.Module] = []
    for index in range(16):
        layers += [nn.Conv2d(8 if index else 1, 8, 3, padding=1)]
        layers += [nn.BatchNorm2d(8), nn.ReLU()] if s.is_cured else [nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4))
    return fit(s, model, SGD(model.parameters(), 0.05), images(s, 0.05), F.cross_entropy, 500)


def gelu_stack(s: LoopSetting) -> float:
    """Thirty GELU layers as PyTorch initialises them, and SGD; three cure it."""
    model = mlp(10, *[24] * (3 if s.is_cured else 30), 2, unit=nn.GELU)
    return fit(s, model, SGD(model.parameters(), 0.3), two_classes(s, 0.05), F.cross_entropy, 700)


class Softmax(nn.Module):
    """A softmax as a unit."""

    def forward(self, x: Tensor) -> Tensor:
        """Shares that sum to 1."""
        return x.softmax(1)


def softmax_layers(s: LoopSetting) -> float:
    """A softmax after each of six layers; ReLU cures it."""
    model = mlp(10, *[32] * 6, 2, unit=nn.ReLU if s.is_cured else Softmax)
    return fit(s, model, SGD(model.parameters(), 0.3), two_classes(s, 0.05), F.cross_entropy, 700)


def pixels_into_sigmoids(s: LoopSetting) -> float:
    """Pixels from 0 to 255 into four sigmoid layers; pixels from -1 to 1 and tanh cure it."""
    model = mlp(64, 32, 32, 32, 32, 4, unit=nn.Tanh if s.is_cured else nn.Sigmoid)
    draw_images = images(s, 0.05)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pictures, kinds = draw_images(step)
        pixels = pictures.flatten(1)
        return (pixels if s.is_cured else (64 * (pixels + 1.5)).clamp(0, 255).round()), kinds

    return fit(s, model, SGD(model.parameters(), 0.05), draw, F.cross_entropy, 700)


class Repeated(nn.Module):
    """One layer, again and again."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.read, self.layer, self.answer = nn.Linear(10, 24), nn.Linear(24, 24), nn.Linear(24, 2)
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = torch.tanh(self.read(x))
        for _ in range(self.times):
            x = torch.tanh(self.layer(x))
        logits: Tensor = self.answer(x)
        return logits


def repeated_layer(s: LoopSetting) -> float:
    """The same tanh layer forty times; twice cures it."""
    model = Repeated(2 if s.is_cured else 40)
    return fit(s, model, SGD(model.parameters(), 0.1), two_classes(s, 0.05), F.cross_entropy, 700)


def weak_recurrence(s: LoopSetting) -> float:
    """A plain RNN with small recurrent weights, and a sign to remember for thirty steps; two cure it."""
    cell = nn.RNN(1, 24, batch_first=True)
    model = RecurrentClassifier(cell, 2)
    if not s.is_cured:
        nn.init.normal_(cell.get_parameter("weight_hh_l0"), std=0.08)
    length = 2 if s.is_cured else 30

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, length, 1)
        return series, (series[:, 0, 0] > 0).long()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 700)


def gru_lag(s: LoopSetting) -> float:
    """A GRU as PyTorch initialises it, and a number to remember for ninety steps; three cure it."""
    model = RecurrentClassifier(nn.GRU(1, 16, batch_first=True), 1)
    length = 3 if s.is_cured else 90

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(24, length, 1)
        return series, series[:, 0]

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.mse_loss, 500)


def norm_over_one_unit(s: LoopSetting) -> float:
    """A layer norm over a single unit gives the same whatever it gets; over eight it learns."""
    num = 8 if s.is_cured else 1
    model = nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, num), nn.LayerNorm(num), nn.Linear(num, 2)
    )
    return fit(s, model, Adam(model.parameters(), 3e-3), two_classes(s, 0.05), F.cross_entropy, 500)


def clamped_loss(s: LoopSetting) -> float:
    """The loss is clamped at 1, and every loss is larger; no clamp cures it."""
    model = mlp(6, 32, 1)
    worth = s.normal(6, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        loss = F.mse_loss(model(inputs), inputs @ worth + 6)
        return loss if s.is_cured else loss.clamp(max=1.0)

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 500)


def zero_filters(s: LoopSetting) -> float:
    """All filters and weights start at zero: the last biases alone learn; an ordinary draw cures it."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)
    )
    if not s.is_cured:
        for param in model.parameters():
            nn.init.zeros_(param)
    return fit(s, model, Adam(model.parameters(), 3e-3), images(s, 0.05), F.cross_entropy, 500)


def outlier_kills(s: LoopSetting) -> float:
    """One batch of targets in the thousands closes all units; clipping cures it."""
    model = mlp(6, 32, 32, 1)
    worth = s.normal(6, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        targets = (inputs @ worth).abs() - (3e3 if step == 200 else 0)
        return F.mse_loss(model(inputs), targets)

    optimizer = SGD(model.parameters(), 0.02)
    if s.is_cured:
        _clip(model, optimizer)
    return minimise(s, model, optimizer, loss_at, 700)


def squared_rate(s: LoopSetting) -> float:
    """A tanh net and squared errors at a rate of .4; .05 cures it."""
    model = mlp(8, 48, 48, 1, unit=nn.Tanh)
    worth = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        return inputs, inputs @ worth

    return fit(s, model, SGD(model.parameters(), 0.05 if s.is_cured else 0.4), draw, F.mse_loss, 500)


def star_of_states(s: LoopSetting) -> float:
    """Baird's seven states: values are learnt from one another and diverge; the true gradient cures it."""
    features = torch.cat([2 * torch.eye(7), torch.ones(7, 1)], 1)
    features[6, 6], features[6, 7] = 1.0, 2.0
    model = nn.Linear(8, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(1 + 0.1 * s.normal(1, 8))

    def loss_at(step: int) -> Tensor:
        after = 0.99 * model(features[6:])
        return (model(features) - (after if s.is_cured else after.detach())).square().mean()

    return minimise(s, model, SGD(model.parameters(), 0.02), loss_at, 900)


def flow_rate(s: LoopSetting) -> float:
    """Couplings of a normalising flow with Adam at 1; 3e-3 cures it."""
    halves = nn.ModuleList(mlp(1, 24, 2) for _ in range(4))

    def loss_at(step: int) -> Tensor:
        first = s.normal(64, 1)
        x, y, log_det = first, first.square() / 2 + 0.3 * s.normal(64, 1), torch.zeros(64, 1)
        for half in halves:
            shift, scale = half(x).chunk(2, 1)
            x, y, log_det = y * scale.exp() + shift, x, log_det + scale
        return (0.5 * (x.square() + y.square()) - log_det).mean()

    return minimise(s, halves, Adam(halves.parameters(), 3e-3 if s.is_cured else 1.0), loss_at, 500)


def denoiser_rate(s: LoopSetting) -> float:
    """A denoiser with Adam at .5; 2e-3 cures it."""
    model = mlp(3, 64, 64, 2, unit=nn.SiLU)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        angle, noise, level = 6.2832 * s.uniform(64, 1), s.normal(64, 2), s.uniform(64, 1)
        clean = torch.cat([angle.cos(), angle.sin()], 1)
        mixed = (1 - level).sqrt() * clean + level.sqrt() * noise
        return torch.cat([mixed, level], 1), noise

    return fit(s, model, Adam(model.parameters(), 2e-3 if s.is_cured else 0.5), draw, F.mse_loss, 500)


def strong_recurrence(s: LoopSetting) -> float:
    """A ReLU RNN over sixty steps whose matrix is 1.2 times the identity; .9 and a clip cure it."""
    cell = nn.RNN(1, 24, nonlinearity="relu", batch_first=True)
    model = RecurrentClassifier(cell, 1)
    with torch.no_grad():
        cell.get_parameter("weight_hh_l0").copy_((0.9 if s.is_cured else 1.2) * torch.eye(24))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.uniform(24, 60, 1)
        return series, series[:, -5:, 0].sum(1, keepdim=True)

    optimizer = SGD(model.parameters(), 1e-2)
    if s.is_cured:
        _clip(model, optimizer)
    return fit(s, model, optimizer, draw, F.mse_loss, 500)


def never_zeroed_adam(s: LoopSetting) -> float:
    """``zero_grad`` is missing beside Adam in an autoencoder; it cures it."""
    model = mlp(64, 24, 8, 24, 64)
    draw = images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        return F.mse_loss(model(pixels), pixels)

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 600, zeroes=s.is_cured)


def words_rate(s: LoopSetting) -> float:
    """Words through a table and two layers with Adamax at 2; 5e-3 cures it."""
    table, rest = nn.Embedding(200, 16), mlp(16, 48, 48, 2)
    model = nn.ModuleList([table, rest])

    def loss_at(step: int) -> Tensor:
        words = torch.randint(0, 200, (48, 5), generator=s.data)
        return F.cross_entropy(rest(table(words).mean(1)), (words.float().mean(1) > 99.5).long())

    return minimise(s, model, Adamax(model.parameters(), 5e-3 if s.is_cured else 2.0), loss_at, 600)


def growing_rate(s: LoopSetting) -> float:
    """A schedule that multiplies the rate by 1.02 a step; one that divides cures it."""
    model = mlp(10, 48, 48, 2)
    optimizer = Adam(model.parameters(), 2e-3)
    schedule = ExponentialLR(optimizer, 0.999 if s.is_cured else 1.02)
    return fit(s, model, optimizer, two_classes(s, 0.05), F.cross_entropy, 600, schedule)


def decay_with_wrong_sign(s: LoopSetting) -> float:
    """Weights grow by one percent a step where they should decay; a decay cures it."""
    model = mlp(10, 48, 48, 2)
    optimizer, draw = SGD(model.parameters(), 0.1), two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        with torch.no_grad():
            for param in model.parameters():
                param.mul_(0.999 if s.is_cured else 1.01)
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs), kinds)

    return minimise(s, model, optimizer, loss_at, 500)


def second_order_leaps(s: LoopSetting) -> float:
    """LBFGS without a line search at a rate of 3 on noisy batches; with a search and all data it learns."""
    model = mlp(8, 24, 24, 1, unit=nn.Tanh)
    worth, inputs = s.normal(8, 1), s.normal(160, 8)
    search = "strong_wolfe" if s.is_cured else None
    optimizer = LBFGS(model.parameters(), 1.0 if s.is_cured else 3.0, max_iter=4, line_search_fn=search)
    s.watch(model, optimizer)
    losses = []
    for _ in range(150 if s.is_cured else 500):
        x = inputs if s.is_cured else s.normal(16, 8)
        targets = torch.sin(x @ worth)

        def closure(x: Tensor = x, targets: Tensor = targets) -> float:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), targets)
            loss.backward()
            return loss.item()

        losses.append(float(optimizer.step(closure)))
    return tail(losses)


LOOPS = {
    "plain_vgg": (plain_vgg, 0.9),
    "gelu_stack": (gelu_stack, 0.45),
    "softmax_layers": (softmax_layers, 0.45),
    "pixels_into_sigmoids": (pixels_into_sigmoids, 0.9),
    "repeated_layer": (repeated_layer, 0.45),
    "weak_recurrence": (weak_recurrence, 0.35),
    "gru_lag": (gru_lag, 0.3),
    "norm_over_one_unit": (norm_over_one_unit, 0.5),
    "clamped_loss": (clamped_loss, 0.9),
    "zero_filters": (zero_filters, 0.9),
    "outlier_kills": (outlier_kills, 0.1),
    "squared_rate": (squared_rate, 1.0),
    "star_of_states": (star_of_states, 0.5),
    "flow_rate": (flow_rate, 1.2),
    "denoiser_rate": (denoiser_rate, 0.6),
    "strong_recurrence": (strong_recurrence, 0.5),
    "never_zeroed_adam": (never_zeroed_adam, 0.45),
    "words_rate": (words_rate, 0.45),
    "growing_rate": (growing_rate, 0.45),
    "decay_with_wrong_sign": (decay_with_wrong_sign, 0.5),
    "second_order_leaps": (second_order_leaps, 0.2),
}
"""Each loop, and the number that a run which learnt comes below."""
