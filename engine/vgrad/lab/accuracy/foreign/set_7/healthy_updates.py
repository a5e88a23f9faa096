"""Healthy loops: optimizers, rates, and steps of special kinds. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import ASGD, SGD, Adadelta, Adafactor, Adam, RMSprop, Rprop
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR
from torch.optim.swa_utils import AveragedModel

from vgrad.lab.accuracy.foreign.loops import (
    LoopSetting,
    MakeBatch,
    batches,
    fit,
    images,
    minimise,
    mlp,
    tail,
    train_before,
    two_classes,
)


def _regression(s: LoopSetting, noise: float = 0.3, num: int = 48) -> tuple[nn.Module, MakeBatch]:
    """A small net, and draws of a noisy plane."""
    worth = s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(num, 8)
        return inputs, inputs @ worth + noise * s.normal(num, 1)

    return mlp(8, 32, 1), draw


def averaged_weights(s: LoopSetting) -> float:
    """A high constant rate, at which the loss trembles, and the average of the weights is what counts."""
    model, draw = mlp(10, 48, 2), two_classes(s, 0.1)
    average, optimizer = AveragedModel(model), SGD(model.parameters(), 0.3)

    def loss_at(step: int) -> Tensor:
        if step > 300:
            average.update_parameters(model)
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs), kinds)

    return minimise(s, model, optimizer, loss_at, 700)


def factored_moments(s: LoopSetting) -> float:
    """Adafactor, which scales its steps by the weights and has no rate to speak of."""
    model, draw = _regression(s)
    return fit(s, model, Adafactor(model.parameters(), 0.05), draw, F.mse_loss, 800)


def resilient_steps(s: LoopSetting) -> float:
    """Rprop on a whole noisy data set: steps grow and shrink by their signs alone."""
    model, draw = _regression(s, 0.5, 120)
    inputs, targets = draw(0)
    optimizer = Rprop(model.parameters(), 1e-3)
    return fit(s, model, optimizer, lambda _: (inputs, targets), F.mse_loss, 500)


def average_descent(s: LoopSetting) -> float:
    """ASGD, with a rate that decays by itself."""
    model, draw = _regression(s)
    return fit(s, model, ASGD(model.parameters(), 0.05), draw, F.mse_loss, 800)


def unit_free_steps(s: LoopSetting) -> float:
    """Adadelta at its rate of 1, which is no rate: steps begin at a thousandth."""
    model = mlp(10, 48, 2)
    return fit(s, model, Adadelta(model.parameters()), two_classes(s, 0.1), F.cross_entropy, 700)


def long_momentum(s: LoopSetting) -> float:
    """Momentum of .99 at a rate that suits it: the loss swings for a long time."""
    model, draw = _regression(s)
    optimizer = SGD(model.parameters(), 1e-3, momentum=0.99)
    return fit(s, model, optimizer, draw, F.mse_loss, 900)


def rates_by_layer(s: LoopSetting) -> float:
    """Rates from 1e-6 for the first layer to 1e-2 for the last, on a body that was trained before."""
    model = mlp(10, 32, 32, 2)
    train_before(model, model.parameters(), two_classes(s, 0.3), F.cross_entropy, 0.1, 200)
    nn.init.normal_(model.get_parameter("4.weight"), std=0.3)
    groups = [
        {"params": model[index].parameters(), "lr": lr} for index, lr in ((0, 1e-6), (2, 1e-4), (4, 1e-2))
    ]
    return fit(s, model, Adam(groups), two_classes(s, 0.1), F.cross_entropy, 700)


def loss_of_millionths(s: LoopSetting) -> float:
    """A loss times 1e-6, and an epsilon that suits it."""
    model, draw = _regression(s)
    optimizer = Adam(model.parameters(), 5e-3, eps=1e-16)
    return fit(s, model, optimizer, draw, lambda a, b: 1e-6 * F.mse_loss(a, b), 700)


def loss_of_millions(s: LoopSetting) -> float:
    """A loss times 1e6 and Adam, whom that does not bother."""
    model = mlp(10, 48, 2)
    optimizer = Adam(model.parameters(), 3e-3)
    return fit(s, model, optimizer, two_classes(s, 0.15), lambda a, b: 1e6 * F.cross_entropy(a, b), 700)


def fading_rate(s: LoopSetting) -> float:
    """A rate that falls by two percent a step, to a millionth of it and beyond."""
    model = mlp(10, 48, 2)
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9)
    schedule = ExponentialLR(optimizer, 0.98)
    return fit(s, model, optimizer, two_classes(s, 0.15), F.cross_entropy, 900, schedule)


def long_warm_up(s: LoopSetting) -> float:
    """A rate that rises from exactly zero over six hundred steps."""
    model = mlp(10, 48, 2)
    optimizer = Adam(model.parameters(), 2e-3)
    schedule = LambdaLR(optimizer, lambda step: (min(1.0, step / 600)) ** 2)
    return fit(s, model, optimizer, two_classes(s, 0.1), F.cross_entropy, 900, schedule)


def folds(s: LoopSetting) -> float:
    """Four folds: at each the weights are drawn again and a new optimizer's moments begin at zero."""
    model = mlp(10, 48, 2)
    optimizer, draw = Adam(model.parameters(), 1e-2), two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        if step in (250, 500, 750):
            for layer in model:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
            optimizer.state.clear()
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs), kinds)

    return minimise(s, model, optimizer, loss_at, 1000)


def averaged_clients(s: LoopSetting) -> float:
    """One of four clients with data of their own, whose weights are averaged every 25 steps."""
    clients = [mlp(8, 32, 3) for _ in range(4)]
    optimizers = [SGD(each.parameters(), 0.1) for each in clients]
    centres = 1.3 * s.normal(3, 8)
    s.watch(clients[0], optimizers[0])
    losses = []
    for step in range(800):
        for index, (client, optimizer) in enumerate(zip(clients, optimizers, strict=True)):
            often = torch.tensor([1.0, 1.0, 1.0])
            often[index % 3] = 8
            kinds = torch.multinomial(often, 32, replacement=True, generator=s.data)
            loss = F.cross_entropy(client(centres[kinds] + s.normal(32, 8)), kinds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if index == 0:
                losses.append(loss.item())
        if step % 25 == 24:
            with torch.no_grad():
                for same in zip(*(each.parameters() for each in clients), strict=True):
                    mean = torch.stack(list(same)).mean(0)
                    for param in same:
                        param.copy_(mean)
    return tail(losses)


def estimated_gradients(s: LoopSetting) -> float:
    """Evolution strategies: gradients come from tried weights, and no backward pass shows a loss."""
    model = nn.Linear(6, 1)
    optimizer, worth = SGD(model.parameters(), 0.05), s.normal(6, 1)
    s.watch(model, optimizer)
    losses = []
    for _ in range(700):
        inputs = s.normal(64, 6)
        targets = inputs @ worth + 0.3 * s.normal(64, 1)
        with torch.no_grad():
            losses.append(F.mse_loss(model(inputs), targets).item())
            sums = [torch.zeros_like(param) for param in model.parameters()]
            for _ in range(16):
                tried = [s.normal(*param.shape) for param in model.parameters()]
                ends = []
                for sign in (1, -1):
                    weight, bias = (
                        param + 0.05 * sign * way
                        for param, way in zip(model.parameters(), tried, strict=True)
                    )
                    ends.append(F.mse_loss(F.linear(inputs, weight, bias), targets))
                for total, way in zip(sums, tried, strict=True):
                    total += (ends[0] - ends[1]) / 0.1 * way / 16
        for param, total in zip(model.parameters(), sums, strict=True):
            param.grad = total
        optimizer.step()
    return tail(losses)


def taking_turns(s: LoopSetting) -> float:
    """Two factors of a noisy matrix, each with an optimizer of its own, train twenty steps by turns."""
    truth = s.normal(30, 3) @ s.normal(3, 30) + 0.5 * s.normal(30, 30)
    left, right = nn.Linear(3, 30, bias=False), nn.Linear(3, 30, bias=False)
    players = [(each, Adam(each.parameters(), 3e-2)) for each in (left, right)]
    for player, optimizer in players:
        s.watch(player, optimizer)
    losses = []
    for step in range(900):
        _, optimizer = players[step // 20 % 2]
        loss = F.mse_loss(left.weight @ right.weight.T, truth)
        for _, each in players:
            each.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def projected_factors(s: LoopSetting) -> float:
    """Factors that must not be negative: what is below zero is set to zero after each step."""
    truth = s.uniform(30, 3) @ s.uniform(3, 30) + 0.1 * s.uniform(30, 30)
    model = nn.ParameterList([nn.Parameter(torch.rand(30, 4)), nn.Parameter(torch.rand(4, 30))])

    def loss_at(step: int) -> Tensor:
        with torch.no_grad():
            for param in model:
                param.clamp_(min=0)
        return F.mse_loss(model[0] @ model[1], truth)

    return minimise(s, model, SGD(model.parameters(), 1.0), loss_at, 800)


def millionth_rate(s: LoopSetting) -> float:
    """A convolutional net that was trained before is tuned by Adam at 1e-6 to images that are as before."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    draw = images(s, 0.1)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.05, 250)
    return fit(s, model, Adam(model.parameters(), 1e-6), draw, F.cross_entropy, 500)


def coarse_rate(s: LoopSetting) -> float:
    """RMSprop at a high rate and small batches: the loss falls at once, and trembles from then on."""
    model = mlp(10, 48, 2)
    optimizer = RMSprop(model.parameters(), 1e-2)
    return fit(s, model, optimizer, two_classes(s, 0.1, 16), F.cross_entropy, 800)


def single_rows(s: LoopSetting) -> float:
    """Batches of one from eighty rows with Adam: the loss of a row is far above or far below the mean."""
    inputs, kinds = s.normal(80, 6), torch.randint(0, 2, (80,), generator=s.data)
    inputs[:, 0] += 2.5 * kinds
    model = mlp(6, 24, 2)
    draw = batches(s, inputs, kinds, 1)
    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 1500)


LOOPS = {
    "averaged_weights": (averaged_weights, 0.5),
    "factored_moments": (factored_moments, 0.5),
    "resilient_steps": (resilient_steps, 0.4),
    "average_descent": (average_descent, 0.3),
    "unit_free_steps": (unit_free_steps, 0.5),
    "long_momentum": (long_momentum, 0.4),
    "rates_by_layer": (rates_by_layer, 0.5),
    "loss_of_millionths": (loss_of_millionths, 4e-7),
    "loss_of_millions": (loss_of_millions, 6e5),
    "fading_rate": (fading_rate, 0.6),
    "long_warm_up": (long_warm_up, 0.5),
    "folds": (folds, 0.35),
    "averaged_clients": (averaged_clients, 0.4),
    "estimated_gradients": (estimated_gradients, 0.3),
    "taking_turns": (taking_turns, 0.5),
    "projected_factors": (projected_factors, 0.01),
    "millionth_rate": (millionth_rate, 0.8),
    "coarse_rate": (coarse_rate, 0.5),
    "single_rows": (single_rows, 0.3),
}
"""Each loop, and the number that a run which learnt comes below."""
