"""Healthy loops: losses and data that behave oddly. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, images, mlp, tail, train_before, two_classes


def posterior_collapse(s: LoopSetting) -> float:
    """A variational autoencoder of white noise: the best is to say nothing, so its divergence goes to 0."""
    encode, decode = mlp(6, 24, 8), mlp(4, 24, 6)
    model = nn.ModuleList([encode, decode])
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    losses = []
    for _ in range(800):
        x = s.normal(48, 6)
        mean, log_var = encode(x).chunk(2, 1)
        latent = mean + (0.5 * log_var).exp() * s.normal(48, 4)
        divergence = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
        loss = (0.5 * (decode(latent) - x).square().sum(1) + 2 * divergence).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def flow_matching(s: LoopSetting) -> float:
    """Velocities from noise to data: which point a path leads to cannot be known on its way."""
    model = mlp(3, 48, 48, 2, unit=nn.SiLU)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        angle, time = 6.2832 * s.uniform(64, 1), s.uniform(64, 1)
        goal, noise = torch.cat([angle.cos(), angle.sin()], 1), s.normal(64, 2)
        return torch.cat([(1 - time) * noise + time * goal, time], 1), goal - noise

    return fit(s, model, AdamW(model.parameters(), 2e-3), draw, F.mse_loss, 800)


def angular_margin(s: LoopSetting) -> float:
    """Cosines with a margin, times 12: the loss begins far above that of a uniform guess."""
    body, prototypes = mlp(8, 32, 8), nn.Linear(8, 5, bias=False)
    model = nn.ModuleList([body, prototypes])
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    s.watch(model, optimizer)
    centres, losses = s.normal(5, 8), []
    for _ in range(700):
        kinds = torch.randint(0, 5, (48,), generator=s.data)
        inputs = centres[kinds] + 0.7 * s.normal(48, 8)
        cosines = F.normalize(body(inputs)) @ F.normalize(prototypes.weight).T
        loss = F.cross_entropy(12 * (cosines - 0.3 * F.one_hot(kinds, 5)), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def alternating_tasks(s: LoopSetting) -> float:
    """Every other batch is of another task, whose loss is a hundred times as large."""
    body, heads = mlp(6, 48, 24), nn.ModuleList([nn.Linear(24, 1), nn.Linear(24, 1)])
    model = nn.ModuleList([body, heads])
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    weights, losses = F.normalize(s.normal(6, 2), dim=0), []
    for step in range(900):
        inputs, task = s.normal(32, 6), step % 2
        targets = 10.0**task * (torch.tanh(inputs @ weights[:, task : task + 1]) + 0.3 * s.normal(32, 1))
        loss = F.mse_loss(heads[task](F.relu(body(inputs))), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / 100.0**task)
    return tail(losses)


def sorted_epochs(s: LoopSetting) -> float:
    """A data set in the order of its four classes, never shuffled: the loss leaps at each border."""
    model = mlp(8, 48, 4)
    centres = 1.5 * s.normal(4, 8)
    kinds = torch.arange(4).repeat_interleave(160)
    points = centres[kinds] + s.normal(640, 8)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        begin = (16 * step) % 640
        return points[begin : begin + 16], kinds[begin : begin + 16]

    fit(s, model, SGD(model.parameters(), 0.02), draw, F.cross_entropy, 900)
    with torch.no_grad():
        return F.cross_entropy(model(points), kinds).item()


def summed_losses(s: LoopSetting) -> float:
    """Losses are summed over batches of 2 to 64 samples, so they differ thirtyfold."""
    model = mlp(10, 32, 2)
    optimizer = SGD(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.1), []
    for _ in range(900):
        inputs, kinds = draw(0)
        num = int(torch.randint(1, 33, (), generator=s.data)) * 2
        loss = F.cross_entropy(model(inputs[:num]), kinds[:num], reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / num)
    return tail(losses)


def constant_in_loss(s: LoopSetting) -> float:
    """A normalising constant of 1000 stands in the loss: what is learnt is a thousandth of it."""
    model = mlp(6, 32, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 6)
        return inputs, inputs @ weights + 0.3 * s.normal(48, 1)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return 0.5 * (outputs - targets).square().mean() + 1000.0

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, loss_fn, 700)


def ramped_loss(s: LoopSetting) -> float:
    """A weight that rises from nothing to 1 stands before the loss, which rises with it."""
    model = mlp(10, 32, 2)
    optimizer = Adam(model.parameters(), 3e-4)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.15), []
    for step in range(900):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        (min(1.0, (step + 1) / 500) ** 3 * loss).backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def head_reset(s: LoopSetting) -> float:
    """Every 300 steps the last layer begins again, on purpose."""
    model = mlp(10, 32, 32, 2)
    head = model[-1]
    assert isinstance(head, nn.Linear)
    draw = two_classes(s, 0.02)

    def reset(step: int) -> tuple[Tensor, Tensor]:
        if step in (300, 600):
            head.reset_parameters()
        return draw(step)

    return fit(s, model, Adam(model.parameters(), 3e-3), reset, F.cross_entropy, 900)


def outlier_batch(s: LoopSetting) -> float:
    """At three steps the targets are recorded in another unit, a hundred times as large."""
    model = mlp(6, 32, 1)
    weights = s.normal(6, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 6)
        targets = inputs @ weights + 0.2 * s.normal(32, 1)
        return inputs, targets * (100.0 if step in (250, 400, 550) else 1.0)

    return fit(s, model, Adam(model.parameters(), 3e-3), draw, F.mse_loss, 900)


def ridge_floor(s: LoopSetting) -> float:
    """Strong weight decay: the loss rests where both agree, well above the noise."""
    model = nn.Linear(20, 1)
    weights = s.normal(20, 1) / 20**0.5

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 20)
        return inputs, inputs @ weights + 0.1 * s.normal(64, 1)

    return fit(s, model, SGD(model.parameters(), 0.05, weight_decay=1.0), draw, F.mse_loss, 700)


def langevin(s: LoopSetting) -> float:
    """Weights are sampled, not optimised: noise is added to them after each step."""
    model = mlp(10, 24, 2, unit=nn.Tanh)
    draw = two_classes(s, 0.1)
    optimizer = SGD(model.parameters(), 0.05)
    s.watch(model, optimizer)
    losses = []
    for step in range(900):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for param in model.parameters():
                param.add_(0.01 * s.normal(*param.shape))
        losses.append(loss.item())
    return tail(losses)


def one_cycle(s: LoopSetting) -> float:
    """A rate that rises to .1 and falls to nothing: the loss is worst in the middle."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
    )
    optimizer = SGD(model.parameters(), 0.01, momentum=0.9)
    schedule = OneCycleLR(optimizer, 0.1, total_steps=500)
    return fit(s, model, optimizer, images(s, 0.2), F.cross_entropy, 500, schedule)


def plateau_schedule(s: LoopSetting) -> float:
    """The rate falls tenfold whenever the loss stands still, down to 1e-7 at the Bayes loss."""
    model = mlp(10, 32, 2)
    optimizer = Adam(model.parameters(), 1e-2)
    schedule = ReduceLROnPlateau(optimizer, patience=20, min_lr=1e-7)
    s.watch(model, optimizer)
    draw, losses = two_classes(s, 0.25), []
    for step in range(900):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        schedule.step(loss.item())
    return tail(losses)


def prompt_only(s: LoopSetting) -> float:
    """What is added to the inputs of a frozen network is trained, and nothing else."""
    body = mlp(10, 48, 48, 2, unit=nn.Tanh)
    draw = two_classes(s, 0.05)
    train_before(body, body.parameters(), draw, F.cross_entropy, 0.2, 400)
    body.requires_grad_(False)
    shift = nn.Embedding(1, 10)
    optimizer = Adam(shift.parameters(), 1e-2)
    s.watch(nn.ModuleList([shift, body]), optimizer)
    losses = []
    for step in range(700):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(body(inputs - 1.0 + shift.weight), kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


LOOPS = {
    "posterior_collapse": (posterior_collapse, 3.2),
    "flow_matching": (flow_matching, 1.25),
    "angular_margin": (angular_margin, 1.8),
    "alternating_tasks": (alternating_tasks, 0.2),
    "sorted_epochs": (sorted_epochs, 1.2),
    "summed_losses": (summed_losses, 0.5),
    "constant_in_loss": (constant_in_loss, 1000.3),
    "ramped_loss": (ramped_loss, 0.55),
    "head_reset": (head_reset, 0.3),
    "outlier_batch": (outlier_batch, 1.0),
    "ridge_floor": (ridge_floor, 0.7),
    "langevin": (langevin, 0.55),
    "one_cycle": (one_cycle, 0.8),
    "plateau_schedule": (plateau_schedule, 0.62),
    "prompt_only": (prompt_only, 0.35),
}
"""Each loop, and the number that a run which learnt comes below."""
