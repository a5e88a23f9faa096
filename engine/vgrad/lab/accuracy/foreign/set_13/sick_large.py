"""Loops that explode or meet what is no number, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Muon

from vgrad.lab.accuracy.foreign.loops import LoopSetting, minimise, mlp, tail
from vgrad.lab.accuracy.foreign.set_13.healthy import sine_net


def too_short_for_its_word(s: LoopSetting) -> float:
    """A connectionist loss, and now and then a sound shorter than its word; zero_infinity cures it."""
    model = nn.Sequential(nn.Conv1d(5, 24, 3, padding=1), nn.ReLU(), nn.Conv1d(24, 5, 1))
    lose = nn.CTCLoss(zero_infinity=s.is_cured)

    def loss_at(step: int) -> Tensor:
        words = torch.randint(1, 5, (16, 4), generator=s.data)
        sound = F.one_hot(words.repeat_interleave(3, 1), 5).float().mT + 0.2 * s.normal(16, 5, 12)
        sizes = torch.full((16,), 12)
        if step % 30 == 29:
            sizes[0] = 2
        log_chances = model(sound).permute(2, 0, 1).log_softmax(2)
        return lose(log_chances, words, sizes, torch.full((16,), 4))

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def half_scores_of_attention(s: LoopSetting) -> float:
    """Scores of attention in float16 over long rows that nobody divides; float32 and norms cure it."""
    ask, key, value, head = (nn.Linear(16, 64), nn.Linear(16, 64), nn.Linear(16, 16), nn.Linear(16, 2))
    model = nn.ModuleList([ask, key, value, head])
    tell = s.normal(16)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(32, 8, 16)
        answer = (rows.mean(1) @ tell > 0).long()
        raw = rows if s.is_cured else 200 * rows
        asked, keys = ask(raw), key(raw).mT
        scores = asked @ keys / 8 if s.is_cured else (asked.half() @ keys.half()).float()
        return F.cross_entropy(head((scores.softmax(2) @ value(rows)).mean(1)), answer)

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 400)


def row_without_readings(s: LoopSetting) -> float:
    """Missing readings are left out of a mean, and once in 150 batches all are missing; a zero cures it."""
    model, worth = mlp(4, 32, 1), s.normal(4)

    def loss_at(step: int) -> Tensor:
        readings = s.normal(64, 4, 5) + s.normal(64, 4, 1)
        answer = readings.mean(2) @ worth
        readings[s.uniform(64, 4, 5) < 0.05] = torch.nan
        if step % 150 == 110:
            readings[0, 0] = torch.nan
        means = readings.nanmean(2)
        if s.is_cured:
            means = means.nan_to_num()
        return F.l1_loss(model(means)[:, 0], answer)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 450)


def determinant_below_zero(s: LoopSetting) -> float:
    """A linear flow and the logarithm of its determinant, which is negative; that of its size cures it."""
    turn, shift = nn.Parameter(torch.linalg.qr(torch.randn(4, 4))[0]), nn.Parameter(torch.zeros(4))
    with torch.no_grad():
        turn[0] *= -turn.det().sign()
    model = nn.ParameterList([turn, shift])
    mix = s.normal(4, 4) + 2 * torch.eye(4)

    def loss_at(step: int) -> Tensor:
        point = (s.normal(64, 4) @ mix - shift) @ turn
        grown = turn.det().abs().log() if s.is_cured else turn.logdet()
        return point.square().sum(1).mean() / 2 - grown

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def variance_as_it_comes(s: LoopSetting) -> float:
    """A variance straight from a linear layer falls below zero as it is learnt; softplus cures it."""
    model, worth = mlp(6, 32, 2), s.normal(6)
    with torch.no_grad():
        list(model.parameters())[-1][1] = 1.0

    def loss_at(step: int) -> Tensor:
        rows = s.normal(48, 6)
        mean, variance = model(rows).unbind(1)
        if s.is_cured:
            variance = F.softplus(variance) + 1e-3
        value = rows @ worth + (0.1 + 0.3 * (rows[:, 0] > 0)) * s.normal(48)
        return (variance.log() + (value - mean).square() / variance).mean() / 2

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def power_that_is_learnt(s: LoopSetting) -> float:
    """Pooling by a learnt power of activities that may be below zero; a ReLU and a little cure it."""
    body, head, power = mlp(8, 32), nn.Linear(32, 2), nn.Parameter(torch.tensor(2.0))
    model = nn.ModuleList([body, head])
    model.register_parameter("power", power)

    def loss_at(step: int) -> Tensor:
        rows = s.normal(48, 6, 8)
        kinds = (rows.amax(1)[:, 0] > 1.2).long()
        seen = body(rows)
        seen = F.relu(seen) + 1e-3 if s.is_cured else seen
        return F.cross_entropy(head((seen**power).mean(1)), kinds)

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def critic_believes_itself(s: LoopSetting) -> float:
    """An actor and a critic that learns from its own newest values, at .7; a slow copy and 2e-3 cure it."""
    actor, critic, slow = mlp(2, 32, 1), mlp(3, 32, 1), mlp(3, 32, 1)
    slow.load_state_dict(critic.state_dict())
    rate = 2e-3 if s.is_cured else 0.7
    for_actor, for_critic = Adam(actor.parameters(), rate / 2), Adam(critic.parameters(), rate)
    s.watch(actor, for_actor)
    s.watch(critic, for_critic)
    away = []
    for _ in range(500):
        state = s.normal(48, 2)
        act = actor(state).detach() + 0.3 * s.normal(48, 1)
        reward = -(act - state[:, :1]).square()
        after = 0.8 * state + 0.2 * act + 0.1 * s.normal(48, 2)
        with torch.no_grad():
            aim = reward + 0.9 * (slow if s.is_cured else critic)(torch.cat([after, actor(after)], 1))
        loss = F.mse_loss(critic(torch.cat([state, act], 1)), aim)
        for_critic.zero_grad()
        loss.backward()
        for_critic.step()
        for_actor.zero_grad()
        (-critic(torch.cat([state, actor(state)], 1)).mean()).backward()
        for_actor.step()
        with torch.no_grad():
            for mine, its in zip(critic.parameters(), slow.parameters(), strict=True):
                its.lerp_(mine, 0.02)
            away.append((actor(state) - state[:, :1]).square().mean().item())
    return tail(away)


def muon_at_three(s: LoopSetting) -> float:
    """Muon turns whole matrices by 3 at each step; by .02 it learns."""
    layers = [nn.Linear(num_in, num_out, bias=False) for num_in, num_out in ((10, 48), (48, 48), (48, 3))]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def loss_at(step: int) -> Tensor:
        rows = s.normal(64, 10)
        return F.cross_entropy(model(rows), rows[:, :3].argmax(1))

    return minimise(s, model, Muon(model.parameters(), 0.02 if s.is_cured else 3.0), loss_at, 450)


def inner_rate_of_three(s: LoopSetting) -> float:
    """A start is learnt through three inner steps at a rate of 3, which throw it; .05 cures it."""
    model = mlp(1, 32, 32, 1, unit=nn.Tanh)
    names = [name for name, _ in model.named_parameters()]

    def loss_at(step: int) -> Tensor:
        total = torch.zeros(())
        for _ in range(3):
            height, shift = 1 + 2 * s.uniform(1), 0.6 * s.uniform(1)
            place = 6 * s.uniform(24, 1) - 3
            value = height * (place + shift).sin()
            fast: list[Tensor] = list(model.parameters())
            for _ in range(3):
                told = torch.func.functional_call(model, dict(zip(names, fast, strict=True)), (place[:12],))
                grads = torch.autograd.grad(F.mse_loss(told, value[:12]), fast, create_graph=True)
                rate = 0.05 if s.is_cured else 3.0
                fast = [param - rate * grad for param, grad in zip(fast, grads, strict=True)]
            told = torch.func.functional_call(model, dict(zip(names, fast, strict=True)), (place[12:],))
            total = total + F.mse_loss(told, value[12:])
        return total / 3

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 250)


def sines_at_a_half(s: LoopSetting) -> float:
    """A net of sines and Adam at .5 on a picture by its coordinates; 1e-3 cures it."""
    model = sine_net(48)

    def loss_at(step: int) -> Tensor:
        place = 2 * s.uniform(128, 2) - 1
        return F.mse_loss(model(place)[:, 0], (4 * place[:, 0]).sin() * (3 * place[:, 1]).cos())

    return minimise(s, model, Adam(model.parameters(), 1e-3 if s.is_cured else 0.5), loss_at, 500)


def rewards_in_thousands(s: LoopSetting) -> float:
    """A policy gradient with rewards around 5000 and a rate for small ones; their deviations cure it."""
    model = mlp(4, 32, 4)

    def loss_at(step: int) -> Tensor:
        asked = torch.randint(0, 4, (32,), generator=s.data)
        chances = model(F.one_hot(asked, 4).float()).log_softmax(1)
        act = (chances.detach() - (-s.uniform(32, 4).log()).log()).argmax(1)
        reward = 4000 + 2000 * (act == asked).float() + 300 * s.normal(32)
        if s.is_cured:
            reward = (reward - reward.mean()) / (reward.std() + 1e-6)
        right.append(-(act == asked).float().mean().item())
        return -(chances[torch.arange(32), act] * reward).mean()

    right: list[float] = []
    minimise(s, model, SGD(model.parameters(), 0.1), loss_at, 500)
    return tail(right)


def mixture_thrown(s: LoopSetting) -> float:
    """A mixture of three bells told by a GRU, with Adam at .7; 5e-3 cures it."""
    cell, answer = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 9)
    model = nn.ModuleList([cell, answer])

    def loss_at(step: int) -> Tensor:
        series = torch.zeros(24, 13)
        for index in range(1, 13):
            jump = torch.where(s.uniform(24) < 0.5, 0.5, -0.5)
            series[:, index] = 0.7 * series[:, index - 1] + jump + 0.1 * s.normal(24)
        share, mean, spread = answer(cell(series[:, :-1, None])[0]).chunk(3, 2)
        spread = 3 * spread.tanh()
        log_chance = -0.5 * ((series[:, 1:, None] - mean) / spread.exp()).square() - spread
        return -(share.log_softmax(2) + log_chance).logsumexp(2).mean()

    return minimise(s, model, Adam(model.parameters(), 5e-3 if s.is_cured else 0.7), loss_at, 400)


LOOPS = {
    "too_short_for_its_word": (too_short_for_its_word, 0.5),
    "half_scores_of_attention": (half_scores_of_attention, 0.5),
    "row_without_readings": (row_without_readings, 0.9),
    "determinant_below_zero": (determinant_below_zero, 6.5),
    "variance_as_it_comes": (variance_as_it_comes, 0.3),
    "power_that_is_learnt": (power_that_is_learnt, 0.5),
    "critic_believes_itself": (critic_believes_itself, 0.3),
    "muon_at_three": (muon_at_three, 0.5),
    "inner_rate_of_three": (inner_rate_of_three, 1.0),
    "sines_at_a_half": (sines_at_a_half, 0.1),
    "rewards_in_thousands": (rewards_in_thousands, -0.6),
    "mixture_thrown": (mixture_thrown, 0.9),
}
"""Each loop, and the number that a run which learnt comes below."""
