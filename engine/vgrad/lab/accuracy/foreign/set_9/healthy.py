"""Healthy loops with losses and data of many sorts. What each is stands in `kinds`."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import MultiStepLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail, two_classes


def copied_teacher(s: LoopSetting) -> float:
    """A student that begins as a copy of its teacher: the loss is exactly 0, and so is the gradient."""
    teacher = mlp(8, 24, 24, 3)
    student = copy.deepcopy(teacher)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 8)
        with torch.no_grad():
            return inputs, teacher(inputs)

    return fit(s, student, SGD(student.parameters(), 0.05), draw, F.mse_loss, 400)


def separated_margin(s: LoopSetting) -> float:
    """Two clouds far from each other and a hinge: soon no sample is within its margin."""
    model = mlp(4, 16, 16, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        sides = torch.where(s.uniform(48, 1) < 0.5, 1.0, -1.0)
        return 3 * sides + s.uniform(48, 4), sides

    def hinge(answers: Tensor, sides: Tensor) -> Tensor:
        return F.relu(1 - answers * sides).mean()

    return fit(s, model, SGD(model.parameters(), 0.1), draw, hinge, 500)


def ordinary_least_squares(s: LoopSetting) -> float:
    """All data at each step: it comes to the exact solution, and from then on nothing changes."""
    model = nn.Linear(5, 1)
    inputs = s.normal(200, 5)
    targets = inputs @ s.normal(5, 1) + s.normal(200, 1)
    return fit(s, model, SGD(model.parameters(), 0.2), lambda _: (inputs, targets), F.mse_loss, 800)


def memorised_table(s: LoopSetting) -> float:
    """Thirty rows are learnt by heart, to a loss of 1e-6 and below."""
    model, inputs = mlp(6, 64, 64, 3), s.normal(30, 6)
    kinds = torch.randint(0, 3, (30,), generator=s.data)
    return fit(s, model, Adam(model.parameters(), 3e-3), lambda _: (inputs, kinds), F.cross_entropy, 1000)


def decay_alone(s: LoopSetting) -> float:
    """Targets without any signal, and a decay that shrinks the weights: the loss is the noise's."""
    model = mlp(10, 32, 32, 1, unit=nn.GELU)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(64, 10), s.normal(64, 1)

    return fit(s, model, SGD(model.parameters(), 0.05, weight_decay=0.1), draw, F.mse_loss, 800)


def predicted_noise(s: LoopSetting) -> float:
    """A diffusion model of points on a spiral: it predicts the noise, most of which nobody can."""
    model = mlp(3, 64, 64, 2, unit=nn.SiLU)

    def loss_at(step: int) -> Tensor:
        turn = 3 * math.pi * s.uniform(96).sqrt()
        points = torch.stack([turn * turn.cos(), turn * turn.sin()], 1) / 5
        time, noise = s.uniform(96, 1), s.normal(96, 2)
        kept = (0.5 * math.pi * time).cos()
        mixed = kept * points + (1 - kept.square()).sqrt() * noise
        return F.mse_loss(model(torch.cat([mixed, time], 1)), noise)

    return minimise(s, model, AdamW(model.parameters(), 1e-3), loss_at, 900)


def pinball_three(s: LoopSetting) -> float:
    """Three quantiles of noise whose spread depends on the input."""
    model, shares = mlp(2, 32, 3), torch.tensor([0.1, 0.5, 0.9])

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 2)
        return inputs, inputs[:, :1] + (0.2 + inputs[:, 1:].abs()) * s.normal(64, 1)

    def pinball(answers: Tensor, targets: Tensor) -> Tensor:
        error = targets - answers
        return torch.maximum(shares * error, (shares - 1) * error).mean()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, pinball, 700)


def heat_equation(s: LoopSetting) -> float:
    """A physics-informed net: an equation, its borders and its start, with a rate in steps."""
    model = mlp(2, 24, 24, 1, unit=nn.Tanh)
    optimizer = Adam(model.parameters(), 5e-3)

    def loss_at(step: int) -> Tensor:
        place, time = s.uniform(48, 1).requires_grad_(), s.uniform(48, 1).requires_grad_()
        heat = model(torch.cat([place, time], 1))
        by_place, by_time = torch.autograd.grad(heat.sum(), (place, time), create_graph=True)
        (curve,) = torch.autograd.grad(by_place.sum(), place, create_graph=True)
        where, when = s.uniform(32, 1), s.uniform(32, 1)
        start = model(torch.cat([where, 0 * where], 1)) - torch.sin(math.pi * where)
        border = model(torch.cat([(where > 0.5).float(), when], 1))
        inside = by_time - 0.1 * curve
        return inside.square().mean() + 10 * start.square().mean() + 10 * border.square().mean()

    return minimise(s, model, optimizer, loss_at, 900, MultiStepLR(optimizer, [400, 700], 0.1))


def uncertain_tasks(s: LoopSetting) -> float:
    """Three tasks whose weights are learnt as log variances: the loss becomes negative."""
    body, heads = mlp(8, 48, 48), nn.Linear(48, 3)
    logs = nn.Parameter(torch.zeros(3))
    model = nn.ModuleList([body, heads, nn.ParameterList([logs])])
    worth, scales = s.normal(8, 3), torch.tensor([0.05, 0.3, 1.0])

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(64, 8)
        targets = scales * (torch.tanh(inputs @ worth) + 0.3 * s.normal(64, 3))
        errors = (heads(F.relu(body(inputs))) - targets).square().mean(0)
        return (0.5 * (-logs).exp() * errors + 0.5 * logs).sum()

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 900)


def critic_with_penalty(s: LoopSetting) -> float:
    """A critic whose slope is held at 1, three steps for each of the generator's: losses around zero."""
    maker, critic = mlp(4, 32, 32, 2), mlp(2, 32, 32, 1)
    of_maker = Adam(maker.parameters(), 5e-4, betas=(0.0, 0.9))
    of_critic = Adam(critic.parameters(), 2e-3, betas=(0.0, 0.9))
    s.watch(critic, of_critic)
    s.watch(maker, of_maker)
    far = []
    for step in range(1600):
        real = torch.tensor([2.0, -1.0]) + 0.5 * s.normal(48, 2)
        made = maker(s.normal(48, 4))
        if step % 4 < 3:
            between = real.lerp(made.detach(), s.uniform(48, 1)).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            loss = critic(made.detach()).mean() - critic(real).mean()
            of_critic.zero_grad()
            (loss + 10 * (slope.norm(dim=1) - 1).square().mean()).backward()
            of_critic.step()
        else:
            of_maker.zero_grad()
            (-critic(made).mean()).backward()
            of_maker.step()
            far.append(float((made - real).detach().mean(0).norm()))
    return tail(far)


def balanced_gan(s: LoopSetting) -> float:
    """Logistic losses of two players on a line: both settle near log 4 and log 2."""
    maker, judge = mlp(2, 24, 1), mlp(1, 24, 1)
    of_maker = Adam(maker.parameters(), 1e-3, betas=(0.5, 0.9))
    of_judge = Adam(judge.parameters(), 2e-3, betas=(0.5, 0.9))
    s.watch(maker, of_maker)
    s.watch(judge, of_judge)
    last = []
    for _ in range(1000):
        real, made = 1 + 0.7 * s.normal(64, 1), maker(s.normal(64, 2))
        of_judge.zero_grad()
        (F.softplus(-judge(real)).mean() + F.softplus(judge(made.detach())).mean()).backward()
        of_judge.step()
        of_maker.zero_grad()
        F.softplus(-judge(made)).mean().backward()
        of_maker.step()
        last.append(abs(made.mean().item() - 1))
    return tail(last)


def rare_goal(s: LoopSetting) -> float:
    """REINFORCE in a corridor whose reward is at its end: most batches bring none, and no gradient."""
    model = nn.Linear(5, 2)
    optimizer, places = Adam(model.parameters(), 0.05), torch.eye(5)
    s.watch(model, optimizer)
    found = []
    for _ in range(600):
        at, score, won = torch.zeros(8, dtype=torch.long), torch.zeros(8), torch.zeros(8)
        for _ in range(6):
            chances = model(places[at]).log_softmax(1)
            act = (s.uniform(8) < chances[:, 1].exp()).long()
            score = score + chances.gather(1, act[:, None])[:, 0] * (won == 0)
            at = (at + 2 * act - 1).clamp(0, 4)
            won = torch.maximum(won, (at == 4).float())
        optimizer.zero_grad()
        (-(score * won).mean()).backward()
        optimizer.step()
        found.append(1 - won.mean().item())
    return tail(found)


def student_of_average(s: LoopSetting) -> float:
    """A student agrees with a slow average of itself on noisy views, and with a few labels."""
    model, draw = mlp(10, 48, 2), two_classes(s, 0.1, 32)
    average = copy.deepcopy(model).requires_grad_(False)

    def loss_at(step: int) -> Tensor:
        with torch.no_grad():
            for slow, param in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(param, 0.02)
            views = s.normal(64, 10)
            believed = average(views).softmax(1)
        inputs, kinds = draw(step)
        agreed = -(believed * model(views + 0.1 * s.normal(64, 10)).log_softmax(1)).sum(1).mean()
        return F.cross_entropy(model(inputs), kinds) + 0.5 * agreed

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 700)


def outliers_by_chance(s: LoopSetting) -> float:
    """One target in three hundred is fifty times too large: the loss leaps a hundredfold and falls on."""
    model, worth = mlp(6, 32, 1), s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        far = torch.where(s.uniform(32, 1) < 1 / 300, 50.0, 1.0)
        return inputs, far * (inputs @ worth + 0.1 * s.normal(32, 1))

    model_loss = fit(s, model, Adam(model.parameters(), 2e-3), draw, F.mse_loss, 1000)
    with torch.no_grad():
        inputs = s.normal(1000, 6)
        return min(model_loss, F.mse_loss(model(inputs), inputs @ worth).item())


def blurred_from_midway(s: LoopSetting) -> float:
    """The images become three times as noisy at step 350: the loss rises and stays higher."""
    model = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(108, 4))
    clean = images(s)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = clean(step)
        return inputs + (1.2 * s.normal(*inputs.shape) if step >= 350 else 0.0), kinds

    return fit(s, model, SGD(model.parameters(), 0.05, momentum=0.9), draw, F.cross_entropy, 900)


def half_seen_in_autocast(s: LoopSetting) -> float:
    """Computed in bfloat16 by autocast, from float32 weights, with half of the labels at random."""
    model, draw = mlp(10, 64, 64, 2), two_classes(s, 0.3, 128)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(model(inputs), kinds)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 600)


def cosine_of_pairs(s: LoopSetting) -> float:
    """Negative cosine similarity of two views, against a predictor and a stopped gradient."""
    encoder, predictor = mlp(8, 32, 16), mlp(16, 16, 16)
    model = nn.ModuleList([encoder, predictor])

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(64, 8)
        left, right = (encoder(inputs + 0.3 * s.normal(64, 8)) for _ in range(2))
        there = F.cosine_similarity(predictor(left), right.detach()).mean()
        return -0.5 * (there + F.cosine_similarity(predictor(right), left.detach()).mean())

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 600)


LOOPS = {
    "copied_teacher": (copied_teacher, 1e-9),
    "separated_margin": (separated_margin, 1e-3),
    "ordinary_least_squares": (ordinary_least_squares, 1.3),
    "memorised_table": (memorised_table, 1e-4),
    "decay_alone": (decay_alone, 1.1),
    "predicted_noise": (predicted_noise, 0.6),
    "pinball_three": (pinball_three, 0.4),
    "heat_equation": (heat_equation, 0.1),
    "uncertain_tasks": (uncertain_tasks, -1.0),
    "critic_with_penalty": (critic_with_penalty, 1.0),
    "balanced_gan": (balanced_gan, 0.5),
    "rare_goal": (rare_goal, 0.3),
    "student_of_average": (student_of_average, 0.7),
    "outliers_by_chance": (outliers_by_chance, 1.0),
    "blurred_from_midway": (blurred_from_midway, 1.0),
    "half_seen_in_autocast": (half_seen_in_autocast, 0.65),
    "cosine_of_pairs": (cosine_of_pairs, -0.8),
}
