"""Sick loops that explode, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, NAdam
from torch.optim.lr_scheduler import CyclicLR

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, train_before, two_classes


def jump_in_data(s: LoopSetting) -> float:
    """At step 200 the scaling of the inputs is lost: steps are far too long; clipping them cures it."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.02), []
    for step in range(600):
        inputs, kinds = draw(step)
        if 200 <= step < 205:
            inputs = 300 * inputs + 500
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        if s.is_cured:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return math.nan
    return tail(losses)


def sign_rate(s: LoopSetting) -> float:
    """Every weight moves by .5 a step, whatever its gradient."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 2e-3 if s.is_cured else 0.5)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.02), []
    for step in range(450):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        for param in model.parameters():
            assert param.grad is not None
            param.grad.sign_()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def summed_rate(s: LoopSetting) -> float:
    """Losses of 512 samples are summed, and the rate is one for means."""
    model = mlp(10, 48, 48, 2)
    optimizer = SGD(model.parameters(), 0.1)
    draw = two_classes(s, 0.02, num=512)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="mean" if s.is_cured else "sum")

    fit(s, model, optimizer, draw, loss_fn, 400)
    with torch.no_grad():
        inputs, kinds = draw(0)
        return F.cross_entropy(model(inputs), kinds).item()


def undivided_windows(s: LoopSetting) -> float:
    """Fifty backward passes to a step, whose gradients are not divided by their number."""
    model = mlp(6, 32, 32, 1)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    s.watch(model, optimizer)
    weights, losses = s.normal(6, 1), []
    for _ in range(220):
        optimizer.zero_grad()
        for _ in range(50):
            inputs = s.normal(4, 6)
            loss = F.smooth_l1_loss(model(inputs), inputs @ weights)
            (loss / 50 if s.is_cured else loss).backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def half_zeroed(s: LoopSetting) -> float:
    """Two optimizers, and zero_grad is called on the one of the head alone."""
    body, head = mlp(10, 32, 32), nn.Linear(32, 2)
    of_body, of_head = SGD(body.parameters(), 0.1), SGD(head.parameters(), 0.1)
    s.watch(body, of_body)
    s.watch(head, of_head)
    draw, losses = two_classes(s, 0.02), []
    for step in range(500):
        inputs, kinds = draw(step)
        if s.is_cured:
            of_body.zero_grad()
        of_head.zero_grad()
        loss = F.cross_entropy(head(torch.relu(body(inputs))), kinds)
        loss.backward()
        of_body.step()
        of_head.step()
        losses.append(loss.item())
    return tail(losses)


def unrolled_dynamics(s: LoopSetting) -> float:
    """A linear model of a system, run forward for forty steps from a start that grows by a third a step."""
    model = nn.Linear(4, 4, bias=False)
    turn = torch.linalg.qr(s.normal(4, 4))[0]
    with torch.no_grad():
        model.weight.copy_((0.9 if s.is_cured else 1.35) * torch.linalg.qr(torch.randn(4, 4))[0])
    optimizer = Adam(model.parameters(), 1e-2) if s.is_cured else SGD(model.parameters(), 1e-2)
    s.watch(model, optimizer)
    losses = []
    for _ in range(400):
        true = found = s.normal(24, 4)
        loss = torch.zeros(())
        for _ in range(8 if s.is_cured else 40):
            true, found = 0.98 * true @ turn, model(found)
            loss = loss + F.smooth_l1_loss(found, true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / (8 if s.is_cured else 40))
        if not math.isfinite(losses[-1]):
            return math.nan
    return tail(losses)


def tuned_too_fast(s: LoopSetting) -> float:
    """A good model is continued at a thousand times the rate for it, and never finds back."""
    model = mlp(10, 48, 48, 2, unit=nn.Tanh)
    draw = two_classes(s, 0.02)
    train_before(model, model.parameters(), draw, F.cross_entropy, 0.1, 600)
    optimizer = AdamW(model.parameters(), 1e-3 if s.is_cured else 1.0)
    return fit(s, model, optimizer, draw, F.cross_entropy, 450)


def nesterov_rate(s: LoopSetting) -> float:
    """Nesterov's momentum of .95 at a rate of 1.5 on absolute errors."""
    model = mlp(6, 32, 32, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        return inputs, inputs @ weights + 0.1 * s.normal(32, 1)

    optimizer = SGD(model.parameters(), 5e-3 if s.is_cured else 1.5, momentum=0.95, nesterov=True)
    return fit(s, model, optimizer, draw, F.l1_loss, 500)


def cycle_too_high(s: LoopSetting) -> float:
    """A cyclic rate whose top is two hundred times too high."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 4),
    )  # fmt: skip
    optimizer = SGD(model.parameters(), 0.01, momentum=0.9)
    top = 0.05 if s.is_cured else 10.0
    schedule = CyclicLR(optimizer, 0.01, top, step_size_up=150, cycle_momentum=False)
    return fit(s, model, optimizer, images(s, 0.05), F.cross_entropy, 500, schedule)


def nadam_rate(s: LoopSetting) -> float:
    """NAdam at .8 on a network with gated units."""
    model = mlp(10, 32, 32, 3, unit=nn.SiLU)
    worth = s.normal(10, 3)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 10)
        return inputs, (inputs @ worth).argmax(1)

    return fit(s, model, NAdam(model.parameters(), 3e-3 if s.is_cured else 0.8), draw, F.cross_entropy, 500)


LOOPS = {
    "jump_in_data": (jump_in_data, 0.35),
    "sign_rate": (sign_rate, 0.35),
    "summed_rate": (summed_rate, 0.35),
    "undivided_windows": (undivided_windows, 0.3),
    "half_zeroed": (half_zeroed, 0.35),
    "unrolled_dynamics": (unrolled_dynamics, 0.1),
    "tuned_too_fast": (tuned_too_fast, 0.35),
    "nesterov_rate": (nesterov_rate, 0.4),
    "cycle_too_high": (cycle_too_high, 0.8),
    "nadam_rate": (nadam_rate, 0.5),
}
"""Each loop, and the number that a run which learnt comes below."""
