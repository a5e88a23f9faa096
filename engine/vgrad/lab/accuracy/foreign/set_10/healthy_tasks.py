"""Healthy loops of further tasks: two players, sounds, keys, inner steps, sets and pictures. See `kinds`."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, RMSprop
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, minimise, mlp, tail
from vgrad.lab.accuracy.foreign.models import RecurrentClassifier


def spelt_sounds(s: LoopSetting) -> float:
    """Each letter sounds for two to four frames with noise, and a connectionist loss finds which is when."""
    model = nn.ModuleList([nn.GRU(5, 32, batch_first=True, bidirectional=True), nn.Linear(64, 6)])
    cell, answer = model[0], model[1]

    def loss_at(step: int) -> Tensor:
        letters = torch.randint(0, 5, (24, 4), generator=s.data)
        frames = torch.zeros(24, 16, dtype=torch.long)
        for row in range(24):
            longs = torch.randint(2, 5, (4,), generator=s.data)
            frames[row] = F.pad(letters[row].repeat_interleave(longs), (0, 16), value=int(letters[row, 3]))[
                :16
            ]
        sounds = F.one_hot(frames, 5).float() + 0.7 * s.normal(24, 16, 5)
        logs = answer(cell(sounds)[0]).log_softmax(2).transpose(0, 1)
        return F.ctc_loss(logs, letters + 1, torch.full((24,), 16), torch.full((24,), 4))

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 400)


def queue_of_keys(s: LoopSetting) -> float:
    """Momentum contrast: keys of a slow encoder wait in a queue of 256."""
    model = mlp(8, 48, 16)
    slow, queue = copy.deepcopy(model), F.normalize(s.normal(256, 16), dim=1)

    def loss_at(step: int) -> Tensor:
        nonlocal queue
        points = s.normal(32, 8)
        asked = F.normalize(model(points + 0.4 * s.normal(32, 8)), dim=1)
        with torch.no_grad():
            for kept, param in zip(slow.parameters(), model.parameters(), strict=True):
                kept.lerp_(param, 0.02)
            keys = F.normalize(slow(points + 0.4 * s.normal(32, 8)), dim=1)
        logits = torch.cat([(asked * keys).sum(1, keepdim=True), asked @ queue.T], 1) / 0.1
        queue = torch.cat([keys, queue])[:256]
        return F.cross_entropy(logits, torch.zeros(32, dtype=torch.long))

    return minimise(s, model, SGD(model.parameters(), 0.05, momentum=0.9), loss_at, 900)


def learnt_to_adapt(s: LoopSetting) -> float:
    """Weights from which one step learns a line from ten points: a gradient through a gradient."""
    model = mlp(1, 32, 1, unit=nn.Tanh)
    params: dict[str, Tensor] = dict(model.named_parameters())

    def loss_at(step: int) -> Tensor:
        total = torch.zeros(())
        for _ in range(4):
            slope, height = 2 * s.uniform(1) - 1, s.normal(1)
            x, z = (2 * s.uniform(10, 1) - 1 for _ in range(2))
            loss = F.mse_loss(torch.func.functional_call(model, params, (x,)), slope * x + height)
            grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
            adapted = {name: p - 0.1 * g for (name, p), g in zip(params.items(), grads, strict=True)}
            out = torch.func.functional_call(model, adapted, (z,))
            total = total + F.mse_loss(out, slope * z + height + 0.3 * s.normal(10, 1)) / 4
        return total

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 700)


def marked_pixels(s: LoopSetting) -> float:
    """Each pixel of a picture is said to belong to a bar or not: few do, and the noise hides some."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1), nn.ReLU()
    )
    model.append(nn.Conv2d(12, 1, 1))

    def draw(step: int) -> tuple[Tensor, Tensor]:
        marks, at = torch.zeros(24, 1, 8, 8), torch.randint(0, 8, (24,), generator=s.data)
        marks[torch.arange(24), 0, at] = 1
        return marks + s.normal(24, 1, 8, 8), marks

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.binary_cross_entropy_with_logits, 600)


def largest_of_a_set(s: LoopSetting) -> float:
    """A sum over the members of a set, of which the mean of the largest two is asked."""
    each, whole = mlp(1, 32, 32), mlp(32, 32, 1)
    model = nn.ModuleList([each, whole])

    def loss_at(step: int) -> Tensor:
        members = s.normal(48, 6, 1)
        goal = members[:, :, 0].topk(2, dim=1).values.mean(1, keepdim=True) + 0.3 * s.normal(48, 1)
        return F.l1_loss(whole(each(members).mean(1)), goal)

    return minimise(s, model, RMSprop(model.parameters(), 1e-3), loss_at, 800)


def lowered_on_plateau(s: LoopSetting) -> float:
    """The rate falls to a fifth whenever the validation loss has not fallen for three rounds."""
    model, worth = mlp(8, 32, 1), s.normal(8, 1)
    optimizer, losses = SGD(model.parameters(), 0.1, momentum=0.9), []
    schedule = ReduceLROnPlateau(optimizer, factor=0.2, patience=3)
    s.watch(model, optimizer)
    for step in range(1000):
        inputs = s.normal(32, 8)
        optimizer.zero_grad()
        loss = F.mse_loss(model(inputs), (inputs @ worth).tanh() + 0.5 * s.normal(32, 1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 25 == 24:
            schedule.step(tail(losses))
    return tail(losses)


def last_mood(s: LoopSetting) -> float:
    """An LSTM with embeddings says whether a text of up to 15 words is glad: only some words tell."""
    words, model = nn.Embedding(50, 16), RecurrentClassifier(nn.LSTM(16, 24, batch_first=True), 2)
    both, mood = nn.ModuleList([words, model]), s.normal(50) * (torch.arange(50) < 15)

    def loss_at(step: int) -> Tensor:
        text = torch.randint(0, 50, (32, 15), generator=s.data)
        kinds = (mood[text].sum(1) + 0.7 * s.normal(32) > 0).long()
        return F.cross_entropy(model(words(text)), kinds)

    return minimise(s, both, Adam(both.parameters(), 5e-3), loss_at, 600)


def taught_by_a_teacher(s: LoopSetting) -> float:
    """A small net learns the soft answers of a larger random one, and the labels beside them."""
    teacher, model, draw = mlp(64, 64, 4), mlp(64, 24, 4), images(s, 0.2)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        logits = model(inputs.flatten(1))
        with torch.no_grad():
            soft = (teacher(inputs.flatten(1)) / 2).softmax(1)
        apart = F.kl_div((logits / 2).log_softmax(1), soft, reduction="batchmean")
        return 4 * apart + F.cross_entropy(logits, kinds)

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def _play(s: LoopSetting, maker: nn.Module, critic: nn.Module, kind: str, every: int) -> float:
    """Two players on a ring; how far the made points are from it, in the mean."""
    first = Adam(maker.parameters(), 5e-4, betas=(0.5, 0.9))
    second = Adam(critic.parameters(), 5e-4, betas=(0.5, 0.9))
    s.watch(maker, first)
    s.watch(critic, second)
    far = []
    for step in range(1200):
        angle = 6.2832 * s.uniform(64, 1)
        real = torch.cat([angle.cos(), angle.sin()], 1) + 0.05 * s.normal(64, 2)
        made = maker(s.normal(64, 4))
        share = s.uniform(64, 1)
        between = (share * real + (1 - share) * made.detach()).requires_grad_()
        if kind == "hinge":
            loss = F.relu(1 - critic(real)).mean() + F.relu(1 + critic(made.detach())).mean()
        else:
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            loss = critic(made.detach()).mean() - critic(real).mean()
            loss = loss + 10 * (slope.norm(dim=1) - 1).square().mean()
        second.zero_grad()
        loss.backward()
        second.step()
        if step % every != every - 1:
            continue
        first.zero_grad()
        (-critic(made).mean()).backward()
        first.step()
        far.append((made.detach().norm(dim=1) - 1).abs().mean().item())
    return tail(far)


def penalised_ring(s: LoopSetting) -> float:
    """A Wasserstein generator, and three steps for each of its by a critic with a penalty on its slope."""
    return _play(s, mlp(4, 48, 48, 2), mlp(2, 48, 48, 1), "slope", 3)


def hinge_ring(s: LoopSetting) -> float:
    """A generator and a critic with the hinge loss and a spectral norm."""
    norm = nn.utils.parametrizations.spectral_norm
    critic = nn.Sequential(norm(nn.Linear(2, 48)), nn.ReLU(), norm(nn.Linear(48, 48)), nn.ReLU())
    critic.append(norm(nn.Linear(48, 1)))
    return _play(s, mlp(4, 48, 48, 2), critic, "hinge", 1)


LOOPS = {
    "penalised_ring": (penalised_ring, 0.6),
    "hinge_ring": (hinge_ring, 0.7),
    "spelt_sounds": (spelt_sounds, 1.2),
    "queue_of_keys": (queue_of_keys, 2.5),
    "learnt_to_adapt": (learnt_to_adapt, 1.2),
    "marked_pixels": (marked_pixels, 0.25),
    "largest_of_a_set": (largest_of_a_set, 0.35),
    "lowered_on_plateau": (lowered_on_plateau, 0.35),
    "last_mood": (last_mood, 0.5),
    "taught_by_a_teacher": (taught_by_a_teacher, 1.3),
}
"""Each loop, and the number that a run which learnt comes below."""
