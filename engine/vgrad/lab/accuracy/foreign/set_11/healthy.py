"""Healthy loops at rest, of kinds that earlier sets have not. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def biased_coin(s: LoopSetting) -> float:
    """Three coins in ten show heads, whatever the inputs are."""
    model = mlp(8, 48, 48, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(48, 8), (s.uniform(48, 1) < 0.3).float()

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.binary_cross_entropy_with_logits, 800)


def tenth_by_tenth(s: LoopSetting) -> float:
    """The rate falls to a tenth every hundred steps, down to nothing, on wrong labels."""
    model = mlp(10, 48, 2)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = StepLR(optimizer, 100)
    return fit(s, model, optimizer, two_classes(s, 0.2), F.cross_entropy, 900, schedule)


def continued_with_adam(s: LoopSetting) -> float:
    """A run that is watched from its step 800 on, with the moments that Adam has by then."""
    model, draw = mlp(10, 48, 2), two_classes(s, 0.15)
    optimizer = Adam(model.parameters(), 3e-3)
    for step in range(800):
        inputs, kinds = draw(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), kinds).backward()
        optimizer.step()
    return fit(s, model, optimizer, draw, F.cross_entropy, 600)


def mostly_noise(s: LoopSetting) -> float:
    """A twentieth of the variance can be explained, with momentum."""
    model, worth = mlp(10, 32, 1, unit=nn.Tanh), s.normal(10, 1)
    worth = worth * math.sqrt(0.05) / worth.norm()

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 10)
        return inputs, inputs @ worth + math.sqrt(0.95) * s.normal(64, 1)

    return fit(s, model, SGD(model.parameters(), 0.01, momentum=0.9), draw, F.mse_loss, 900)


def skewed_prices(s: LoopSetting) -> float:
    """Prices whose logarithm is normal: now and then one is twenty times the mean."""
    model, worth = mlp(6, 48, 1), 0.5 * s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 6)
        return inputs, (0.3 * inputs @ worth + 0.9 * s.normal(48, 1)).exp()

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.mse_loss, 900)


def second_head_unused(s: LoopSetting) -> float:
    """One head is not in the loss at all, and a branch is multiplied by 0."""
    body, head, other, branch = mlp(10, 32, 32), nn.Linear(32, 2), nn.Linear(32, 5), nn.Linear(32, 2)
    model, draw = nn.ModuleList([branch, body, head, other]), two_classes(s, 0.2)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        hidden = F.relu(body(inputs))
        return F.cross_entropy(head(hidden) + 0 * branch(hidden), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 800)


def two_of_eight(s: LoopSetting) -> float:
    """The two best of eight experts answer each row, and no balance is asked for."""
    router, experts = nn.Linear(10, 8), nn.ModuleList([mlp(10, 16, 2) for _ in range(8)])
    model, draw = nn.ModuleList([router, experts]), two_classes(s, 0.15)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        best, chosen = router(inputs).topk(2, dim=1)
        weights = torch.zeros(64, 8).scatter(1, chosen, best.softmax(1))
        logits = torch.zeros(64, 2)
        for index, expert in enumerate(experts):
            rows = weights[:, index].nonzero()[:, 0]
            if len(rows):
                logits = logits.index_add(0, rows, weights[rows, index, None] * expert(inputs[rows]))
        return F.cross_entropy(logits, kinds)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 800)


def wronger_from_midway(s: LoopSetting) -> float:
    """From step 400 on a quarter of the labels is wrong."""
    model = mlp(10, 64, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return two_classes(s, 0.25 if step >= 400 else 0.0)(step)

    return fit(s, model, SGD(model.parameters(), 0.1, momentum=0.9), draw, F.cross_entropy, 1000)


def another_camera(s: LoopSetting) -> float:
    """At step 400 the images become three times as bright, and as noisy."""
    model, draw = mlp(64, 48, 4), images(s, 0.1)

    def loss_at(step: int) -> Tensor:
        pixels, kinds = draw(step)
        return F.cross_entropy(model((3 if step >= 400 else 1) * pixels.flatten(1)), kinds)

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 1000)


def players_on_a_bell(s: LoopSetting) -> float:
    """The first two players there were: cross entropies, and a bell curve to be imitated."""
    maker, critic = mlp(3, 32, 1), mlp(1, 32, 32, 1)
    first, second = Adam(maker.parameters(), 1e-3), Adam(critic.parameters(), 1e-3)
    s.watch(maker, first)
    s.watch(critic, second)
    say, away = F.binary_cross_entropy_with_logits, []
    for _ in range(1200):
        real, made = 2 + 0.5 * s.normal(64, 1), maker(s.normal(64, 3))
        loss = say(critic(real), torch.ones(64, 1)) + say(critic(made.detach()), torch.zeros(64, 1))
        second.zero_grad()
        loss.backward()
        second.step()
        first.zero_grad()
        say(critic(made), torch.ones(64, 1)).backward()
        first.step()
        away.append(abs(made.mean().item() - 2))
    return tail(away)


def reward_less_average(s: LoopSetting) -> float:
    """A policy on four questions, its reward less a running average: in the end nothing is left to gain."""
    model, places, average, gains = mlp(4, 32, 4), torch.eye(4), 0.0, []
    optimizer = Adam(model.parameters(), 5e-3)
    s.watch(model, optimizer)
    for _ in range(900):
        asked = torch.randint(0, 4, (32,), generator=s.data)
        chances = torch.distributions.Categorical(logits=model(places[asked]))
        action = chances.sample()
        reward = (action == asked).float()
        loss = -(chances.log_prob(action) * (reward - average)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average = 0.95 * average + 0.05 * reward.mean().item()
        gains.append(-reward.mean().item())
    return tail(gains)


def one_picture_at_a_time(s: LoopSetting) -> float:
    """A convolution, momentum and batches of one picture."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    optimizer = SGD(model.parameters(), 1e-3, momentum=0.9)
    return fit(s, model, optimizer, images(s, 0.1, 1), F.cross_entropy, 2500)


def pairs_of_rows(s: LoopSetting) -> float:
    """Two rows at a time with Adam: three kinds that overlap."""
    model, centres = mlp(2, 32, 3), torch.tensor([[0.0, 1.5], [1.5, -1.0], [-1.5, -1.0]])

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 3, (2,), generator=s.data)
        return centres[kinds] + 1.2 * s.normal(2, 2), kinds

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 2500)


def absolute_errors(s: LoopSetting) -> float:
    """Absolute errors of a line in double-sided noise, at a rate that is never lowered."""
    model, worth = mlp(5, 32, 1), s.normal(5, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, noise = s.normal(48, 5), torch.distributions.Laplace(0.0, 1.0).sample((48, 1))
        return inputs, inputs @ worth + noise

    return fit(s, model, SGD(model.parameters(), 0.02), draw, F.l1_loss, 900)


def mostly_random_kinds(s: LoopSetting) -> float:
    """Six labels in ten are drawn at random among five; a cosine ends at a rate of 0."""
    model, sides = mlp(8, 64, 5), s.normal(8, 5)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(96, 8)
        wrong = torch.randint(0, 5, (96,), generator=s.data)
        return inputs, torch.where(s.uniform(96) < 0.6, wrong, (inputs @ sides).argmax(1))

    optimizer = AdamW(model.parameters(), 5e-3, weight_decay=0.1)
    return fit(s, model, optimizer, draw, F.cross_entropy, 800, CosineAnnealingLR(optimizer, 600))


def most_of_ten(s: LoopSetting) -> float:
    """A plain RNN says whether most of ten numbers are above zero; a fifth of the answers is wrong."""
    model = RecurrentClassifier(nn.RNN(1, 24, batch_first=True), 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        series = s.normal(48, 10, 1)
        kinds = ((series > 0).float().sum((1, 2)) > 5).long()
        return series, torch.where(s.uniform(48) < 0.2, 1 - kinds, kinds)

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 700)


def temperature_of_tomorrow(s: LoopSetting) -> float:
    """An LSTM forecasts temperatures around 15 degrees, which follow the season and the day before."""
    cell, answer = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        noise, days, today = s.normal(24, 31), [], s.normal(24)
        for index in range(31):
            today = 0.7 * today + noise[:, index]
            days.append(15 + 3 * math.sin(index / 5) + today)
        x = (torch.stack(days, 1)[..., None] - 15) / 3
        return F.mse_loss(answer(cell(x[:, :-1])[0]), x[:, 1:])

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 600)


def normed_net_to_the_end(s: LoopSetting) -> float:
    """Two convolutions with batch norms and wrong labels; a cosine ends at 0, and the loop goes on."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
    model.extend([nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)])
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    schedule = CosineAnnealingLR(optimizer, 400)
    return fit(s, model, optimizer, images(s, 0.25), F.cross_entropy, 400, schedule)


def tuned_at_a_trickle(s: LoopSetting) -> float:
    """A net that was trained to its floor is tuned on with Adam at 1e-5."""
    model, draw = mlp(10, 48, 48, 2), two_classes(s, 0.1)
    before = SGD(model.parameters(), 0.1, momentum=0.9)
    for step in range(1000):
        inputs, kinds = draw(step)
        before.zero_grad()
        F.cross_entropy(model(inputs), kinds).backward()
        before.step()
    return fit(s, model, Adam(model.parameters(), 1e-5), draw, F.cross_entropy, 600)


def two_models_side_by_side(s: LoopSetting) -> float:
    """Two nets with an optimizer each learn the same noisy line, and know nothing of one another."""
    models, worth = [mlp(6, 24, 1), mlp(6, 48, 48, 1)], s.normal(6, 1)
    optimizers = [SGD(models[0].parameters(), 0.02), Adam(models[1].parameters(), 2e-3)]
    for model, optimizer in zip(models, optimizers, strict=True):
        s.watch(model, optimizer)
    losses = []
    for _ in range(700):
        inputs = s.normal(48, 6)
        targets = inputs @ worth + s.normal(48, 1)
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def alike_but_noisy(s: LoopSetting) -> float:
    """Directions are learnt from noisy ones: minus the cosine settles at -.6."""
    model, worth = mlp(8, 48, 4), s.normal(8, 4)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(64, 8)
        goal = inputs @ worth / 3 + s.normal(64, 4)
        return -F.cosine_similarity(model(inputs), goal, dim=1).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def momentum_of_99(s: LoopSetting) -> float:
    """A momentum of .99 at a small rate, on a noisy regression."""
    model, worth = mlp(8, 48, 1), s.normal(8, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 8)
        return inputs, (inputs @ worth).tanh() + 0.7 * s.normal(48, 1)

    return fit(s, model, SGD(model.parameters(), 1e-3, momentum=0.99), draw, F.mse_loss, 900)


LOOPS = {
    "biased_coin": (biased_coin, 0.68),
    "tenth_by_tenth": (tenth_by_tenth, 0.6),
    "continued_with_adam": (continued_with_adam, 0.55),
    "mostly_noise": (mostly_noise, 1.05),
    "skewed_prices": (skewed_prices, 12.0),
    "second_head_unused": (second_head_unused, 0.6),
    "two_of_eight": (two_of_eight, 0.55),
    "wronger_from_midway": (wronger_from_midway, 0.65),
    "another_camera": (another_camera, 0.9),
    "players_on_a_bell": (players_on_a_bell, 0.7),
    "reward_less_average": (reward_less_average, -0.9),
    "one_picture_at_a_time": (one_picture_at_a_time, 0.9),
    "pairs_of_rows": (pairs_of_rows, 0.7),
    "absolute_errors": (absolute_errors, 1.2),
    "mostly_random_kinds": (mostly_random_kinds, 1.5),
    "most_of_ten": (most_of_ten, 0.62),
    "temperature_of_tomorrow": (temperature_of_tomorrow, 0.3),
    "normed_net_to_the_end": (normed_net_to_the_end, 1.0),
    "tuned_at_a_trickle": (tuned_at_a_trickle, 0.5),
    "two_models_side_by_side": (two_models_side_by_side, 1.3),
    "alike_but_noisy": (alike_but_noisy, -0.45),
    "momentum_of_99": (momentum_of_99, 0.65),
}
"""Each loop, and the number that a run which learnt comes below."""
