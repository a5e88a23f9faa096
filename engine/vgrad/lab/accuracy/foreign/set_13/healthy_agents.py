"""Healthy loops: agents that learn from rewards or from an expert. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from vgrad.lab.accuracy.foreign.loops import LoopSetting, minimise, mlp, tail


def _returns(rewards: list[float], discount: float) -> Tensor:
    found, total = [], 0.0
    for reward in reversed(rewards):
        total = reward + discount * total
        found.append(total)
    return torch.tensor(found[::-1])


def pole_and_values(s: LoopSetting) -> float:
    """An actor and a critic with one body balance a pole; losses are summed over episodes that grow."""
    body, act, value = nn.Linear(4, 64), nn.Linear(64, 2), nn.Linear(64, 1)
    model = nn.ModuleList([body, act, value])
    optimizer = Adam(model.parameters(), 1e-2)
    s.watch(model, optimizer)
    lost = []
    for _ in range(180):
        place, speed, angle, turn = (0.05 * (2 * s.uniform(4) - 1)).tolist()
        log_chances, values, rewards = [], [], []
        for _ in range(60):
            hidden = F.relu(body(torch.tensor([place, speed, angle, turn])))
            chances = act(hidden).log_softmax(0)
            push = int(s.uniform(1).item() < chances[1].exp().item())
            log_chances.append(chances[push])
            values.append(value(hidden)[0])
            force = 10.0 if push else -10.0
            pull = (force + 0.05 * turn * turn * math.sin(angle)) / 1.1
            bend = 9.8 * math.sin(angle) - math.cos(angle) * pull
            bend /= 0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / 1.1)
            drive = pull - 0.05 * bend * math.cos(angle) / 1.1
            place, speed = place + 0.02 * speed, speed + 0.02 * drive
            angle, turn = angle + 0.02 * turn, turn + 0.02 * bend
            rewards.append(1.0)
            if abs(angle) > 0.21 or abs(place) > 2.4:
                break
        goals = _returns(rewards, 0.99)
        goals = (goals - goals.mean()) / (goals.std() + 1e-6)
        told = torch.stack(values)
        policy = -(torch.stack(log_chances) * (goals - told.detach())).sum()
        optimizer.zero_grad()
        (policy + F.smooth_l1_loss(told, goals, reduction="sum")).backward()
        optimizer.step()
        lost.append(-float(len(rewards)))
    return tail(lost)


def walk_with_raw_rewards(s: LoopSetting) -> float:
    """Walkers stay on a path as long as they can; raw returns are summed: the loss grows with skill."""
    model = mlp(4, 32, 2)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    lost = []
    for _ in range(260):
        place, drift, alive = torch.zeros(16), s.normal(16).sign(), torch.ones(16)
        log_chances, rewards = [], []
        for _ in range(20):
            seen = torch.stack([place, drift, place * drift, torch.ones(16)], 1)
            chances = model(seen).log_softmax(1)
            moves = (s.uniform(16) < chances[:, 1].detach().exp()).long()
            log_chances.append(chances[torch.arange(16), moves] * alive)
            place = place + 0.4 * (2 * moves - 1) + 0.3 * drift
            drift = torch.where(s.uniform(16) < 0.1, -drift, drift)
            alive = alive * (place.abs() < 2).float()
            rewards.append(alive)
        gains = torch.stack(rewards).flip(0).cumsum(0).flip(0)
        optimizer.zero_grad()
        (-(torch.stack(log_chances) * gains).sum() / 16).backward()
        optimizer.step()
        lost.append(-torch.stack(rewards).sum(0).mean().item())
    return tail(lost)


def values_in_bins(s: LoopSetting) -> float:
    """Returns are learnt as shares of eleven bins, from the shares of a copy that follows slowly."""
    model, slow, bins = mlp(6, 48, 22), mlp(6, 48, 22), torch.linspace(0, 5, 11)
    slow.load_state_dict(model.state_dict())
    optimizer = Adam(model.parameters(), 2e-3)
    s.watch(model, optimizer)
    lost = []
    for _ in range(700):
        places = torch.randint(0, 6, (48,), generator=s.data)
        acts = torch.randint(0, 2, (48,), generator=s.data)
        after = (places + 2 * acts - 1).clamp(0, 5)
        reward = (after == 5).float()
        with torch.no_grad():
            shares = slow(F.one_hot(after, 6).float()).view(48, 2, 11).softmax(2)
            best = (shares @ bins).argmax(1)
            goal = (reward[:, None] + 0.8 * bins).clamp(0, 5) * 2
            low, part = goal.floor().long().clamp(max=9), goal - goal.floor().clamp(max=9)
            chosen = shares[torch.arange(48), best]
            aims = torch.zeros(48, 11).scatter_add(1, low, chosen * (1 - part))
            aims = aims.scatter_add(1, low + 1, chosen * part)
        told = model(F.one_hot(places, 6).float()).view(48, 2, 11)[torch.arange(48), acts]
        loss = F.cross_entropy(told, aims)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mine, its in zip(model.parameters(), slow.parameters(), strict=True):
                its.lerp_(mine, 0.05)
            values = model(torch.eye(6)).view(6, 2, 11).softmax(2) @ bins
        right = torch.tensor([5 * 0.8 ** (5 - place) for place in range(6)])
        lost.append((values[:5, 1] - right[1:]).abs().mean().item())
    return tail(lost)


def corrected_by_an_expert(s: LoopSetting) -> float:
    """A driver is shown what an expert does where the driver itself came to; the heap of rows grows."""
    model, seen, done = mlp(3, 48, 1), [s.normal(64, 3)], []

    def expert(rows: Tensor) -> Tensor:
        return -(1.5 * rows[:, :1] + rows[:, 1:2]).tanh() + 0.5 * rows[:, 2:]

    def loss_at(step: int) -> Tensor:
        if step % 60 == 0 and step:
            state, visited = 2 * s.normal(16, 3), []
            with torch.no_grad():
                for _ in range(12):
                    visited.append(state)
                    act = model(state)
                    speed = 0.9 * state[:, 1:2] + 0.5 * act
                    state = torch.cat([state[:, :1] + speed, speed, -state[:, 2:]], 1)
            seen.append(torch.cat(visited))
        rows = torch.cat(seen)
        rows = rows[torch.randint(0, len(rows), (64,), generator=s.data)]
        loss = F.mse_loss(model(rows), expert(rows) + 0.3 * s.normal(64, 1))
        done.append(loss.item())
        return loss

    return minimise(s, model, AdamW(model.parameters(), 3e-3), loss_at, 700)


def groups_of_answers(s: LoopSetting) -> float:
    """Eight answers to each question are compared; a copy from before holds them back."""
    model = mlp(6, 32, 12)
    before = mlp(6, 32, 12)
    before.load_state_dict(model.state_dict())
    optimizer = AdamW(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    lost = []
    for _ in range(500):
        asked = torch.randint(0, 6, (12,), generator=s.data)
        rows = F.one_hot(asked, 6).float()
        chances = model(rows).view(12, 2, 6).log_softmax(2)
        words = torch.multinomial(chances.detach().exp().flatten(0, 1), 8, True, generator=s.data)
        words = words.view(12, 2, 8)
        rewards = ((words.sum(1) % 6) == asked[:, None]).float()
        gains = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        said = chances.gather(2, words).sum(1)
        with torch.no_grad():
            old = before(rows).view(12, 2, 6).log_softmax(2).gather(2, words).sum(1)
        ratio = (said - said.detach()).exp()
        apart = (old - said).exp() - (old - said) - 1
        optimizer.zero_grad()
        (-(ratio * gains) + 0.01 * apart).mean().backward()
        optimizer.step()
        lost.append(-rewards.mean().item())
    return tail(lost)


def waves_by_reptile(s: LoopSetting) -> float:
    """A start for any wave: the way of five inner steps is written into the gradients by hand."""
    model = mlp(1, 32, 32, 1, unit=nn.Tanh)
    optimizer = SGD(model.parameters(), 0.3)
    s.watch(model, optimizer)
    lost = []
    for _ in range(300):
        height, shift = 0.5 + 2 * s.uniform(1), 3 * s.uniform(1)
        fast = {name: param.detach().clone() for name, param in model.named_parameters()}
        for _ in range(5):
            place = 6 * s.uniform(16, 1) - 3
            names = list(fast)
            inner = [fast[name].requires_grad_() for name in names]
            told = torch.func.functional_call(model, dict(zip(names, inner, strict=True)), (place,))
            loss = F.mse_loss(told, height * (place + shift).sin())
            grads = torch.autograd.grad(loss, inner)
            fast = {
                name: (param - 0.05 * grad).detach()
                for name, param, grad in zip(names, inner, grads, strict=True)
            }
        lost.append(loss.item())
        for name, param in model.named_parameters():
            param.grad = param.detach() - fast[name]
        optimizer.step()
    return tail(lost)


LOOPS = {
    "pole_and_values": (pole_and_values, -40.0),
    "walk_with_raw_rewards": (walk_with_raw_rewards, -14.0),
    "values_in_bins": (values_in_bins, 0.5),
    "corrected_by_an_expert": (corrected_by_an_expert, 0.25),
    "groups_of_answers": (groups_of_answers, -0.6),
    "waves_by_reptile": (waves_by_reptile, 1.0),
}
"""Each loop, and the number that a run which learnt comes below."""
