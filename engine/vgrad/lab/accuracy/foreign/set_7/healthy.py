"""Healthy loops: losses that mean little, and data that change. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes


def coin_flips(s: LoopSetting) -> float:
    """Two classes that the inputs say nothing about: a uniform guess is the best that there is."""
    model = mlp(8, 32, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(64, 8), (s.uniform(64) < 0.5).long()

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.cross_entropy, 800)


def noise_grows(s: LoopSetting) -> float:
    """The share of wrong labels grows from none to two fifths: the loss rises all the time."""
    model = mlp(10, 32, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return two_classes(s, 0.4 * min(1.0, step / 800))(step)

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 1000)


def shifted_targets(s: LoopSetting) -> float:
    """The targets are twenty higher from step 400 on: the loss leaps by four decades, and is learnt again."""
    model = mlp(6, 32, 1)
    worth = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 6)
        return inputs, inputs @ worth + 0.2 * s.normal(48, 1) + (20 if step >= 400 else 0)

    return fit(s, model, Adam(model.parameters(), 1e-2), draw, F.mse_loss, 1000)


def resolution_grows(s: LoopSetting) -> float:
    """Images twice as large from step 350 on: the same filters, another scale."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(192, 4),
    )  # fmt: skip
    small = images(s, 0.1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        pictures, kinds = small(step)
        return (F.interpolate(pictures, scale_factor=2) if step >= 350 else pictures), kinds

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.cross_entropy, 700)


def pseudo_labels(s: LoopSetting) -> float:
    """Forty labelled samples; from step 300 on the model's own answers to others join them."""
    model = mlp(10, 48, 2)
    inputs, kinds = two_classes(s, 0.0, 40)(0)

    def loss_at(step: int) -> Tensor:
        loss = F.cross_entropy(model(inputs), kinds)
        if step >= 300:
            others = s.normal(128, 10)
            with torch.no_grad():
                answers = model(others).softmax(1)
            sure = answers.max(1).values > 0.9
            noisy = model(others + 0.3 * s.normal(128, 10))
            loss = loss + (F.cross_entropy(noisy, answers.argmax(1), reduction="none") * sure).mean()
        return loss

    return minimise(s, model, SGD(model.parameters(), 0.1), loss_at, 700)


def hardest_only(s: LoopSetting) -> float:
    """Only the hardest quarter of each batch is trained on: its loss stays high."""
    model = mlp(10, 32, 2)
    draw = two_classes(s, 0.05)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(model(inputs), kinds, reduction="none").topk(16).values.mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


def weighted_classes(s: LoopSetting) -> float:
    """One sample in fifty is positive and counts fifty times: the loss differs widely between batches."""
    model = mlp(8, 32, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 8)
        positive = (s.uniform(48, 1) < 0.02).float()
        answers = model(inputs + positive)
        return F.binary_cross_entropy_with_logits(answers, positive, pos_weight=torch.tensor(50.0))

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 900)


def many_rare_labels(s: LoopSetting) -> float:
    """Two hundred labels, of which two hold: the loss falls at once to that of the prior, and slowly on."""
    model = mlp(16, 64, 200)
    centres = s.normal(200, 16)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(0, 200, (32, 2), generator=s.data)
        inputs = centres[chosen].sum(1) + 0.5 * s.normal(32, 16)
        return inputs, torch.zeros(32, 200).scatter_(1, chosen, 1.0)

    loss_fn = F.binary_cross_entropy_with_logits
    return fit(s, model, AdamW(model.parameters(), 3e-3), draw, loss_fn, 900)


def random_task_weights(s: LoopSetting) -> float:
    """Three tasks of scales from 1 to 1,000, weighted by chance at each step."""
    model = mlp(6, 48, 3)
    worth, scale = s.normal(6, 3), torch.tensor([1.0, 30.0, 1000.0])

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        targets = inputs @ worth + s.normal(48, 3)
        share = torch.softmax(3 * s.normal(3), 0)
        return ((model(inputs) - targets).square().mean(0) * scale * share).sum()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 900)


def adapted_norms(s: LoopSetting) -> float:
    """At test time: scales and shifts of a trained model are tuned until its answers are sure."""
    model = nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
    draw, before = two_classes(s, 0.05), Adam(model.parameters(), 1e-2)
    for step in range(200):
        inputs, kinds = draw(step)
        before.zero_grad()
        F.cross_entropy(model(inputs), kinds).backward()
        before.step()
    before.zero_grad()
    model.requires_grad_(False)
    norm = model[1].requires_grad_(True)

    def loss_at(step: int) -> Tensor:
        logits = model(1.3 * draw(step)[0] + 0.4)
        return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()

    return minimise(s, model, SGD(norm.parameters(), 1e-2, momentum=0.9), loss_at, 500)


def two_towers(s: LoopSetting) -> float:
    """Two encoders of one thing contrast 48 pairs at a temperature that is learnt."""
    first, second = mlp(10, 48, 16), mlp(14, 48, 16)
    scale = nn.Parameter(torch.tensor(2.66))
    model = nn.ModuleList([first, second, nn.ParameterList([scale])])
    mixes = s.normal(8, 10), s.normal(8, 14)

    def loss_at(step: int) -> Tensor:
        things = s.normal(48, 8)
        left = F.normalize(first(things @ mixes[0] + s.normal(48, 10)), dim=1)
        right = F.normalize(second(things @ mixes[1] + s.normal(48, 14)), dim=1)
        logits = scale.exp() * left @ right.T
        pairs = torch.arange(48)
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2

    return minimise(s, model, AdamW(model.parameters(), 1e-3), loss_at, 800)


def kernel_generator(s: LoopSetting) -> float:
    """A generator and no critic: an unbiased distance of two samples, around zero in the end."""
    model = mlp(4, 48, 2)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (-torch.cdist(a, b).square()).exp()

    def loss_at(step: int) -> Tensor:
        angle = 6.2832 * s.uniform(64, 1)
        real, made = torch.cat([angle.cos(), angle.sin()], 1), model(s.normal(64, 4))
        off = 1 - torch.eye(64)
        own = ((kernel(real, real) + kernel(made, made)) * off).sum() / (64 * 63)
        return own - 2 * kernel(real, made).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 900)


def information_bound(s: LoopSetting) -> float:
    """A lower bound of what two numbers have in common: a negative loss with a log of a mean in it."""
    model = mlp(2, 48, 1)

    def loss_at(step: int) -> Tensor:
        left = s.normal(128, 1)
        right = 0.8 * left + 0.6 * s.normal(128, 1)
        together = model(torch.cat([left, right], 1)).mean()
        apart = model(torch.cat([left, right[torch.randperm(128, generator=s.data)]], 1))
        bound: Tensor = together - (torch.logsumexp(apart, 0).squeeze() - 4.852)
        return -bound

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 900)


def heavy_likelihood(s: LoopSetting) -> float:
    """A Student likelihood of errors with heavy tails: it is negative, and a few are far off."""
    model = mlp(4, 32, 2)
    worth = s.normal(4, 1) / 2

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 4)
        noise = s.normal(48, 1) / s.normal(48, 2).square().mean(1, keepdim=True).sqrt()
        centre, spread = model(inputs).chunk(2, 1)
        error = (inputs @ worth + 0.02 * noise - centre) / spread.exp()
        return (spread + 1.5 * (1 + error.square() / 2).log()).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 900)


def unbounded_critic(s: LoopSetting) -> float:
    """A Wasserstein critic whose weights nobody bounds, and a generator that settles all the same."""
    made, critic = mlp(4, 32, 2), mlp(2, 32, 32, 1)
    first, second = RMSprop(made.parameters(), 5e-3), RMSprop(critic.parameters(), 5e-3)
    s.watch(made, first)
    s.watch(critic, second)
    far = []
    for _ in range(700):
        angle = 6.2832 * s.uniform(64, 1)
        real, fake = torch.cat([angle.cos(), angle.sin()], 1), made(s.normal(64, 4))
        loss = critic(fake.detach()).mean() - critic(real).mean()
        second.zero_grad()
        loss.backward()
        second.step()
        first.zero_grad()
        (-critic(fake).mean()).backward()
        first.step()
        far.append((fake.detach().norm(dim=1) - 1).abs().mean().item())
    return tail(far)


def summed_pixels(s: LoopSetting) -> float:
    """An autoencoder whose squared errors are summed over pixels and images: a loss in the thousands."""
    model = mlp(64, 32, 8, 32, 64)
    draw = images(s)

    def loss_at(step: int) -> Tensor:
        pixels = draw(step)[0].flatten(1)
        return (model(pixels) - pixels).square().sum()

    return minimise(s, model, Adam(model.parameters(), 1e-3), loss_at, 700)


def house_prices(s: LoopSetting) -> float:
    """Prices that nobody scaled, and a rate that fits them: squared errors of 1e10 to 1e8."""
    model = nn.Linear(6, 1)
    worth = 3e4 * s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 6)
        return inputs, 2e5 + inputs @ worth + 1e4 * s.normal(64, 1)

    return fit(s, model, Adam(model.parameters(), 1000.0), draw, F.mse_loss, 900)


def scheduled_sampling(s: LoopSetting) -> float:
    """A model of series gets its own answers instead of the true ones more and more: the loss rises."""
    cell, answer = nn.GRUCell(1, 24), nn.Linear(24, 1)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        time = torch.arange(21) + 6.2832 * s.uniform(24, 1)
        series = torch.sin(0.5 * time) + 0.1 * s.normal(24, 21)
        state, given, errors = torch.zeros(24, 24), series[:, :1], []
        for index in range(20):
            state = cell(given, state)
            guess = answer(state)
            errors.append((guess - series[:, index + 1 : index + 2]).square().mean())
            is_own = index > 5 and float(s.uniform(1)) < step / 700
            given = guess.detach() if is_own else series[:, index + 1 : index + 2]
        return torch.stack(errors).mean()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 700)


def two_strategies(s: LoopSetting) -> float:
    """Rock, paper and scissors: two policies that turn around an equilibrium for ever, on exact values."""
    pays = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    first, second = nn.Linear(1, 3), nn.Linear(1, 3)
    one = torch.ones(1, 1)
    players = [(each, SGD(each.parameters(), 0.05)) for each in (first, second)]
    for player, optimizer in players:
        s.watch(player, optimizer)
    gap = []
    for _ in range(900):
        gap.append((first(one).softmax(1) @ pays).abs().max().item())
        for sign, (_, optimizer) in zip((-1, 1), players, strict=True):
            value = first(one).softmax(1) @ pays @ second(one).softmax(1).T
            optimizer.zero_grad()
            (sign * value.sum()).backward()
            optimizer.step()
    return tail(gap)


LOOPS = {
    "coin_flips": (coin_flips, 0.71),
    "noise_grows": (noise_grows, 0.69),
    "shifted_targets": (shifted_targets, 1.0),
    "resolution_grows": (resolution_grows, 0.7),
    "pseudo_labels": (pseudo_labels, 0.3),
    "hardest_only": (hardest_only, 1.5),
    "weighted_classes": (weighted_classes, 1.2),
    "many_rare_labels": (many_rare_labels, 0.05),
    "random_task_weights": (random_task_weights, 600.0),
    "adapted_norms": (adapted_norms, 0.2),
    "two_towers": (two_towers, 2.5),
    "kernel_generator": (kernel_generator, 0.05),
    "information_bound": (information_bound, -0.25),
    "heavy_likelihood": (heavy_likelihood, -2.0),
    "unbounded_critic": (unbounded_critic, 0.3),
    "summed_pixels": (summed_pixels, 900.0),
    "house_prices": (house_prices, 4e8),
    "scheduled_sampling": (scheduled_sampling, 0.2),
    "two_strategies": (two_strategies, 1.0),
}
"""Each loop, and the number that a run which learnt comes below."""
