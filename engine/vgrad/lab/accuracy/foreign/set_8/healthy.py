"""Healthy loops of many sorts. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RAdam
from torch.optim.lr_scheduler import LambdaLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def hidden_pixels(s: LoopSetting) -> float:
    """Half of the pixels are hidden and have to be filled in; most of each is noise."""
    model, draw = mlp(128, 64, 64), images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        shown = (s.uniform(*pixels.shape) < 0.5).float()
        error = (model(torch.cat([pixels * shown, shown], 1)) - pixels).square() * (1 - shown)
        return error.sum() / (1 - shown).sum()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def drawn_rate(s: LoopSetting) -> float:
    """The rate is drawn between 1e-4 and .3 at each step."""
    model = mlp(10, 48, 2)
    optimizer = SGD(model.parameters(), 1.0)
    rates = 10 ** (-4 + 3.5 * s.uniform(801))
    schedule = LambdaLR(optimizer, lambda step: float(rates[step]))
    return fit(s, model, optimizer, two_classes(s, 0.1), F.cross_entropy, 800, schedule)


def rectified_start(s: LoopSetting) -> float:
    """RAdam, whose first steps are those of plain momentum."""
    model = mlp(10, 48, 2)
    return fit(s, model, RAdam(model.parameters(), 5e-3), two_classes(s, 0.15), F.cross_entropy, 700)


def slow_weights(s: LoopSetting) -> float:
    """Every fifth step the weights go back half of the way to where they were."""
    model, draw = mlp(10, 48, 2), two_classes(s, 0.1)
    slow = [param.detach().clone() for param in model.parameters()]

    def loss_at(step: int) -> Tensor:
        if step % 5 == 4:
            with torch.no_grad():
                for kept, param in zip(slow, model.parameters(), strict=True):
                    kept.lerp_(param, 0.5)
                    param.copy_(kept)
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs), kinds)

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 700)


def private_gradients(s: LoopSetting) -> float:
    """The gradient of each sample is clipped, and noise is added to their sum."""
    model, draw = nn.Linear(10, 2), two_classes(s, 0.05, 32)
    optimizer = SGD(model.parameters(), 0.5)
    s.watch(model, optimizer)
    losses = []
    for step in range(500):
        inputs, kinds = draw(step)
        sums = [torch.zeros_like(param) for param in model.parameters()]
        for index in range(32):
            loss = F.cross_entropy(model(inputs[index : index + 1]), kinds[index : index + 1])
            grads = torch.autograd.grad(loss, list(model.parameters()))
            scale = min(1.0, 0.5 / math.hypot(*(float(grad.norm()) for grad in grads)))
            for total, grad in zip(sums, grads, strict=True):
                total.add_(grad, alpha=scale)
        for param, total in zip(model.parameters(), sums, strict=True):
            param.grad = (total + 0.5 * s.normal(*total.shape)) / 32
        optimizer.step()
        losses.append(F.cross_entropy(model(inputs), kinds).item())
    return tail(losses)


def autoregression(s: LoopSetting) -> float:
    """An LSTM on a series whose next number is .9 of this one and noise: it soon knows that."""
    cell, answer = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        noise, series = s.normal(24, 31), [s.normal(24) / math.sqrt(0.19)]
        for index in range(30):
            series.append(0.9 * series[-1] + noise[:, index])
        x = torch.stack(series, 1)[..., None]
        return F.mse_loss(answer(cell(x[:, :-1])[0]), x[:, 1:])

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 600)


def open_brackets(s: LoopSetting) -> float:
    """A GRU says after each bracket how many are open, up to four."""
    model = nn.ModuleList([nn.GRU(2, 24, batch_first=True), nn.Linear(24, 5)])
    cell, answer = model[0], model[1]

    def loss_at(step: int) -> Tensor:
        opens = (s.uniform(24, 20) < 0.5).long()
        depth, depths = torch.zeros(24, dtype=torch.long), []
        for index in range(20):
            depth = (depth + 2 * opens[:, index] - 1).clamp(0, 4)
            depths.append(depth)
        logits = answer(cell(F.one_hot(opens, 2).float())[0])
        return F.cross_entropy(logits.flatten(0, 1), torch.stack(depths, 1).flatten())

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


class MarkedAttention(nn.Module):
    """One head over a set, and an answer from its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.look = nn.Linear(3, 24), nn.MultiheadAttention(24, 2, batch_first=True)
        self.answer = nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        """One number for each set, shape ``(num, size, 3)``."""
        x = self.read(x)
        value: Tensor = self.answer((x + self.look(x, x, x, need_weights=False)[0]).mean(1))
        return value


def picked_value(s: LoopSetting) -> float:
    """Attention finds the marked element of a set, and its value is noisy."""
    model = MarkedAttention()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        values, mark = s.normal(32, 6), torch.randint(0, 6, (32,), generator=s.data)
        marks = F.one_hot(mark, 6).float()
        x = torch.stack([values, marks, values * marks], 2)
        return x, (values * marks).sum(1, keepdim=True) + 0.5 * s.normal(32, 1)

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.mse_loss, 600)


def random_walk_values(s: LoopSetting) -> float:
    """Values of a random walk learnt from one another, on its own states: noise is all of the loss."""
    model, table = nn.Linear(12, 1), torch.eye(12)

    def loss_at(step: int) -> Tensor:
        at = torch.randint(1, 11, (32,), generator=s.data)
        to = at + torch.where(s.uniform(32) < 0.5, 1, -1)
        reward = (to == 11).float() + 0.5 * s.normal(32)
        with torch.no_grad():
            later = model(table[to])[:, 0] * ((to > 0) & (to < 11))
        return F.mse_loss(model(table[at])[:, 0], reward + later)

    return minimise(s, model, SGD(model.parameters(), 0.3), loss_at, 800)


def preconditioned(s: LoopSetting) -> float:
    """The user replaces each gradient by a Newton step, at a rate of 1."""
    model = nn.Linear(6, 1)
    optimizer, worth = SGD(model.parameters(), 0.3), s.normal(6, 1)
    scales = torch.tensor([1.0, 3, 10, 30, 100, 300])
    s.watch(model, optimizer)
    losses = []
    for _ in range(400):
        inputs = scales * s.normal(64, 6)
        loss = F.mse_loss(model(inputs), inputs / scales @ worth + 0.3 * s.normal(64, 1))
        optimizer.zero_grad()
        loss.backward()
        grad = model.weight.grad
        assert grad is not None
        model.weight.grad = grad / (2 * scales.square())
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def growing_batches(s: LoopSetting) -> float:
    """Batches of 4 samples at first and of 512 in the end: noisy losses become quiet."""
    model = mlp(10, 48, 2)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    sizes = [2 ** (2 + step // 100) for step in range(800)]
    return fit(s, model, optimizer, lambda step: two_classes(s, 0.1, sizes[step])(step), F.cross_entropy, 800)


def skips_bad_batches(s: LoopSetting) -> float:
    """One batch in thirty is broken, and the loop itself leaves it out."""
    model = mlp(8, 32, 1)
    optimizer, worth = Adam(model.parameters(), 3e-3), s.normal(8, 1)
    s.watch(model, optimizer)
    losses = []
    for step in range(800):
        inputs = s.normal(48, 8)
        targets = inputs @ worth + 0.3 * s.normal(48, 1)
        if step % 30 == 29:
            inputs[0] = math.nan
        optimizer.zero_grad()
        loss = F.mse_loss(model(inputs), targets)
        if not math.isfinite(loss.item()):
            continue
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def predicted_links(s: LoopSetting) -> float:
    """Which of forty nodes are linked: a table of places, and products of them."""
    kinds = torch.arange(40) % 4
    linked = (s.uniform(40, 40) < torch.where(kinds[:, None] == kinds, 0.7, 0.1)).float()
    model = nn.Embedding(40, 8)
    nn.init.normal_(model.weight, std=0.1)

    def loss_at(step: int) -> Tensor:
        return F.binary_cross_entropy_with_logits(model.weight @ model.weight.T, linked)

    return minimise(s, model, SGD(model.parameters(), 5.0, momentum=0.9), loss_at, 700)


def unmixing(s: LoopSetting) -> float:
    """Sources that are far from normal are separated: a likelihood with a determinant in it."""
    model = nn.Linear(3, 3, bias=False)
    mixing = s.normal(3, 3) + 2 * torch.eye(3)

    def loss_at(step: int) -> Tensor:
        sources = s.normal(64, 3) * s.normal(64, 3).abs()
        out = model(sources @ mixing.T)
        return (out.abs() + 0.1).sum(1).mean() - torch.linalg.slogdet(model.weight)[1]

    return minimise(s, model, SGD(model.parameters(), 0.02), loss_at, 700)


def mixture_fit(s: LoopSetting) -> float:
    """Three clouds by the gradient of a likelihood: nine numbers and no layers."""
    numbers = nn.ParameterList([nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.zeros(3))])
    centres = torch.tensor([[3.0, 0], [-3, 1], [0, -3]])

    def loss_at(step: int) -> Tensor:
        points = centres[torch.randint(0, 3, (64,), generator=s.data)] + 0.5 * s.normal(64, 2)
        spread = numbers[1].exp()
        away = torch.cdist(points, numbers[0]).square() / (2 * spread.square())
        loss: Tensor = -torch.logsumexp(-away - 2 * numbers[1], 1).mean()
        return loss

    return minimise(s, numbers, Adam(numbers.parameters(), 2e-2), loss_at, 700)


def summed_bound(s: LoopSetting) -> float:
    """A Bayesian line: a bound that is summed over a thousand points, with a divergence."""
    numbers = nn.ParameterList([nn.Parameter(torch.zeros(5)), nn.Parameter(torch.full((5,), -2.0))])
    inputs, worth = s.normal(1000, 5), s.normal(5)
    targets = inputs @ worth + s.normal(1000)

    def loss_at(step: int) -> Tensor:
        mean, log_spread = numbers
        weights = mean + log_spread.exp() * s.normal(5)
        divergence = (0.5 * (mean.square() + (2 * log_spread).exp() - 1) - log_spread).sum()
        return 0.5 * (inputs @ weights - targets).square().sum() + divergence

    return minimise(s, numbers, Adam(numbers.parameters(), 1e-2), loss_at, 900)


def sliced_scores(s: LoopSetting) -> float:
    """Scores of two clouds by their slope along a random direction: a negative loss with large noise."""
    model = mlp(2, 64, 2, unit=nn.Softplus)

    def loss_at(step: int) -> Tensor:
        points = torch.where(s.uniform(64, 1) < 0.5, 1.5, -1.5) + 0.5 * s.normal(64, 2)
        points.requires_grad_()
        way, score = s.normal(64, 2), model(points)
        (slope,) = torch.autograd.grad((score * way).sum(), points, create_graph=True)
        return ((slope * way).sum(1) + 0.5 * (score * way).sum(1).square()).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 900)


def growing_dataset(s: LoopSetting) -> float:
    """Every 150 steps samples of another region join: the loss leaps each time."""
    model = mlp(2, 64, 64, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        reach = min(5, 1 + step // 150)
        points = reach * (2 * s.uniform(48, 2) - 1)
        return points, torch.sin(2 * points[:, :1]) + points[:, 1:].abs()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.mse_loss, 1000)


def freezing_out(s: LoopSetting) -> float:
    """The layers are frozen one after the other, from the first on, as they have learnt."""
    model, draw = mlp(10, 32, 32, 32, 2), two_classes(s, 0.1)

    def loss_at(step: int) -> Tensor:
        if step in (250, 400, 550):
            layer = model[2 * ((step - 250) // 150)]
            layer.requires_grad_(False)
            layer.zero_grad()
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs), kinds)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 800)


def one_step_behind(s: LoopSetting) -> float:
    """An RNN repeats the symbol of the step before, one in ten of which is wrong."""
    model = RecurrentClassifier(nn.RNN(4, 24, batch_first=True), 4)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        symbols = torch.randint(0, 4, (32, 25), generator=s.data)
        wrong = torch.randint(0, 4, (32,), generator=s.data)
        answer = torch.where(s.uniform(32) < 0.1, wrong, symbols[:, -2])
        return F.one_hot(symbols, 4).float(), answer

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 500)


def quantile_of_ratings(s: LoopSetting) -> float:
    """Ratings of 1 to 5 by shared thresholds: most of it is taste."""
    table = nn.Embedding(100, 8)
    thresholds = nn.Parameter(torch.tensor([-1.5, -0.5, 0.5, 1.5]))
    head = nn.Linear(8, 1)
    model = nn.ModuleList([table, head, nn.ParameterList([thresholds])])
    truth = s.normal(100)

    def loss_at(step: int) -> Tensor:
        items = torch.randint(0, 100, (48,), generator=s.data)
        above = (truth[items] + s.normal(48))[:, None] > torch.tensor([-1.5, -0.5, 0.5, 1.5])
        return F.binary_cross_entropy_with_logits(head(table(items)) - thresholds, above.float())

    return minimise(s, model, AdamW(model.parameters(), 1e-2), loss_at, 700)


def resumed_at_the_floor(s: LoopSetting) -> float:
    """A recurrent classifier is continued from a checkpoint with a hundredth of its rate."""
    model = RecurrentClassifier(nn.GRU(1, 24, batch_first=True), 2)
    before = Adam(model.parameters(), 5e-3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(32, 12, 1)
        kinds = (series.sum((1, 2)) > 0).long()
        return series, torch.where(s.uniform(32) < 0.1, 1 - kinds, kinds)

    for step in range(250):
        inputs, kinds = draw(step)
        before.zero_grad()
        F.cross_entropy(model(inputs), kinds).backward()
        before.step()
    model.zero_grad()
    return fit(s, model, Adam(model.parameters(), 5e-5), draw, F.cross_entropy, 450)


LOOPS = {
    "hidden_pixels": (hidden_pixels, 0.5),
    "drawn_rate": (drawn_rate, 0.55),
    "rectified_start": (rectified_start, 0.6),
    "slow_weights": (slow_weights, 0.5),
    "private_gradients": (private_gradients, 0.4),
    "autoregression": (autoregression, 1.3),
    "open_brackets": (open_brackets, 0.7),
    "picked_value": (picked_value, 0.45),
    "random_walk_values": (random_walk_values, 0.5),
    "preconditioned": (preconditioned, 0.3),
    "growing_batches": (growing_batches, 0.5),
    "skips_bad_batches": (skips_bad_batches, 0.3),
    "predicted_links": (predicted_links, 0.55),
    "unmixing": (unmixing, 5.0),
    "mixture_fit": (mixture_fit, 2.5),
    "summed_bound": (summed_bound, 700.0),
    "sliced_scores": (sliced_scores, -1.0),
    "growing_dataset": (growing_dataset, 0.4),
    "freezing_out": (freezing_out, 0.5),
    "one_step_behind": (one_step_behind, 0.7),
    "quantile_of_ratings": (quantile_of_ratings, 0.5),
    "resumed_at_the_floor": (resumed_at_the_floor, 0.5),
}
"""Each loop, and the number that a run which learnt comes below."""
