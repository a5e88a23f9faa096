"""Healthy loops as ordinary people write them: classifiers, regressions and schedules. See `kinds`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, OneCycleLR

from vgrad.lab.accuracy.foreign.loops import (
    LoopSetting,
    MakeBatch,
    fit,
    images,
    minimise,
    mlp,
    tail,
    train_before,
    two_classes,
)


def new_head(s: LoopSetting) -> float:
    """A body that was trained on one question is frozen, and a new head learns another one."""
    body, old, head = mlp(10, 48, 48), nn.Linear(48, 2), nn.Linear(48, 2)
    before = nn.Sequential(body, nn.ReLU(), old)
    train_before(before, before.parameters(), two_classes(s), F.cross_entropy, 0.2, 400)
    body.requires_grad_(False)
    model = nn.Sequential(body, nn.ReLU(), head)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(64, 10)
        kinds = (inputs[:, 0] + inputs[:, 2] > 0).long()
        return inputs, torch.where(s.uniform(64) < 0.15, 1 - kinds, kinds)

    return fit(s, model, AdamW(model.parameters(), 3e-3), draw, F.cross_entropy, 800)


def one_in_fifty(s: LoopSetting) -> float:
    """One sample in fifty is positive, and the inputs say a little about which."""
    model = mlp(8, 32, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        kinds = (s.uniform(128) < 0.02).long()
        return s.normal(128, 8) + 0.7 * kinds[:, None], kinds

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 800)


def decay_in_balance(s: LoopSetting) -> float:
    """A strong weight decay and wrong labels come to a balance."""
    model = mlp(10, 64, 64, 2)
    optimizer = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    return fit(s, model, optimizer, two_classes(s, 0.2), F.cross_entropy, 900)


def cycled_momentum(s: LoopSetting) -> float:
    """PyTorch's one-cycle policy, which moves the momentum, too, on images with wrong labels."""
    model = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(432, 4))
    optimizer = SGD(model.parameters(), 0.02, momentum=0.9)
    schedule = OneCycleLR(optimizer, 0.1, total_steps=501)
    return fit(s, model, optimizer, images(s, 0.2), F.cross_entropy, 500, schedule)


def restarts_of_adamw(s: LoopSetting) -> float:
    """AdamW with PyTorch's warm restarts, on a noisy regression."""
    model, worth = mlp(6, 48, 48, 1), s.normal(6, 1)
    optimizer = AdamW(model.parameters(), 1e-2, weight_decay=0.05)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(48, 6)
        return inputs, (inputs @ worth).sin() + 0.7 * s.normal(48, 1)

    schedule = CosineAnnealingWarmRestarts(optimizer, 150)
    return fit(s, model, optimizer, draw, F.mse_loss, 900, schedule)


def accumulated_by_hand(s: LoopSetting) -> float:
    """Four backward passes, each of a quarter of the loss, before each step."""
    model, draw = mlp(10, 32, 2), two_classes(s, 0.2, 8)
    optimizer = Adam(model.parameters(), 3e-3)
    s.watch(model, optimizer)
    losses = []
    for step in range(2400):
        inputs, kinds = draw(step)
        loss = F.cross_entropy(model(inputs), kinds)
        (loss / 4).backward()
        losses.append(loss.item())
        if step % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
    return tail(losses)


def searched_lines(s: LoopSetting) -> float:
    """LBFGS on a logistic regression with all its data: it is at the optimum within a few steps."""
    model, draw = nn.Linear(10, 2), two_classes(s, 0.2, 400)
    inputs, kinds = draw(0)
    optimizer = LBFGS(model.parameters(), 0.5, max_iter=4, line_search_fn="strong_wolfe")
    s.watch(model, optimizer)

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), kinds)
        loss.backward()
        return loss.item()

    return tail([float(optimizer.step(closure)) for _ in range(300)])


def body_at_rate_zero(s: LoopSetting) -> float:
    """Two groups of parameters: the body's rate is 0 for good, the head's is not."""
    body, head = mlp(10, 48, 48), nn.Linear(48, 2)
    model = nn.Sequential(body, nn.ReLU(), head)
    groups = [{"params": body.parameters(), "lr": 0.0}, {"params": head.parameters(), "lr": 0.5}]
    return fit(s, model, SGD(groups, lr=0.5), two_classes(s, 0.15), F.cross_entropy, 800)


def noisier_by_the_hundred(s: LoopSetting) -> float:
    """A curriculum: every hundred steps more of the labels are wrong."""
    model = mlp(10, 48, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return two_classes(s, min(0.3, 0.05 * (step // 100)))(step)

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.cross_entropy, 900)


def single_rows_of_noise(s: LoopSetting) -> float:
    """One row at a time with Adam: a regression whose noise is as large as what can be learnt."""
    model, worth = mlp(4, 24, 1), s.normal(4, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(1, 4)
        return inputs, inputs @ worth + s.normal(1, 1)

    return fit(s, model, Adam(model.parameters(), 1e-3), draw, F.mse_loss, 3000)


def mostly_dropped(s: LoopSetting) -> float:
    """Dropout of .7 after each of three layers."""
    layers: list[nn.Module] = []
    for num_in in (10, 96, 96):
        layers += [nn.Linear(num_in, 96), nn.ReLU(), nn.Dropout(0.7)]
    model = nn.Sequential(*layers, nn.Linear(96, 2))
    return fit(s, model, Adam(model.parameters(), 2e-3), two_classes(s, 0.1), F.cross_entropy, 800)


def smoothed_images(s: LoopSetting) -> float:
    """Label smoothing of a fifth, a batch norm, and images that are soon known."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.2)
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
    return fit(s, model, optimizer, images(s), loss_fn, 500)


def focal_and_rare(s: LoopSetting) -> float:
    """A focal loss on one positive in twenty."""
    model = mlp(8, 32, 1)

    def loss_at(step: int) -> Tensor:
        kinds = (s.uniform(128, 1) < 0.05).float()
        logits = model(s.normal(128, 8) + kinds)
        away = F.binary_cross_entropy_with_logits(logits, kinds, reduction="none")
        return ((1 - (-away).exp()).square() * away).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 800)


def ternary_weights(s: LoopSetting) -> float:
    """Weights are rounded to -1, 0 and 1 on the way forward, and the gradient passes straight through."""
    first, last = nn.Linear(10, 48), nn.Linear(48, 2)
    model, draw = nn.ModuleList([first, last]), two_classes(s, 0.1)

    def rounded(layer: nn.Linear, x: Tensor) -> Tensor:
        scale = layer.weight.abs().mean()
        coarse = (layer.weight / scale).round().clamp(-1, 1) * scale
        return F.linear(x, layer.weight + (coarse - layer.weight).detach(), layer.bias)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        return F.cross_entropy(rounded(last, rounded(first, inputs).relu()), kinds)

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 800)


def signed_attack(s: LoopSetting) -> float:
    """Each batch is attacked by a step along the sign of its gradient before it is learnt from."""
    model, draw = mlp(10, 48, 2), two_classes(s)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        inputs.requires_grad_()
        (way,) = torch.autograd.grad(F.cross_entropy(model(inputs), kinds), inputs)
        return F.cross_entropy(model((inputs + 0.3 * way.sign()).detach()), kinds)

    return minimise(s, model, SGD(model.parameters(), 0.1, momentum=0.9), loss_at, 800)


def noise_on_gradients(s: LoopSetting) -> float:
    """Gradients are clipped together and noise of three times their length is added, for privacy."""
    model, draw = mlp(10, 24, 2), two_classes(s, 0.05)
    optimizer = SGD(model.parameters(), 0.1)
    s.watch(model, optimizer)
    losses = []
    for step in range(900):
        inputs, kinds = draw(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), kinds)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        for param in model.parameters():
            assert param.grad is not None
            param.grad.add_(s.normal(*param.shape), alpha=0.05)
        optimizer.step()
        losses.append(loss.item())
    return tail(losses)


def mixed_targets(s: LoopSetting) -> float:
    """Mixup on images: the targets are shares, and the loss has a floor of its own."""
    model, draw = mlp(64, 64, 4), images(s)

    def loss_at(step: int) -> Tensor:
        inputs, kinds = draw(step)
        share = torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4)).sample()
        order = torch.randperm(len(inputs), generator=s.data)
        logits = model((share * inputs + (1 - share) * inputs[order]).flatten(1))
        return share * F.cross_entropy(logits, kinds) + (1 - share) * F.cross_entropy(logits, kinds[order])

    return minimise(s, model, Adam(model.parameters(), 2e-3), loss_at, 700)


def exact_line(s: LoopSetting) -> float:
    """A linear regression without noise: the loss falls to what float32 can tell from 0."""
    model, worth = nn.Linear(5, 1), s.normal(5, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.normal(32, 5)
        return inputs, inputs @ worth + 2

    return fit(s, model, SGD(model.parameters(), 0.1), draw, F.mse_loss, 700)


def exclusive_or(s: LoopSetting) -> float:
    """The four rows of exclusive or, tanh and a sigmoid: a plateau, and then it is known."""
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    inputs = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    targets = (inputs.sum(1, keepdim=True) == 1).float()
    optimizer = SGD(model.parameters(), 0.5)
    return fit(s, model, optimizer, lambda step: (inputs, targets), F.mse_loss, 3000)


def nothing_but_the_mean(s: LoopSetting) -> float:
    """Prices of around 3 that the inputs say nothing about: their mean is all there is."""
    model = mlp(6, 32, 32, 1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return s.normal(64, 6), 3 + 0.5 * s.normal(64, 1)

    return fit(s, model, Adam(model.parameters(), 2e-3), draw, F.mse_loss, 700)


def two_hundred_rows(s: LoopSetting) -> float:
    """A few rows in shuffled epochs, with weight decay and early wrong labels that are learnt by heart."""
    model, draw_all = mlp(10, 64, 64, 2), two_classes(s, 0.2, 200)
    inputs, kinds = draw_all(0)
    order = [torch.randperm(200, generator=s.data) for _ in range(120)]

    def draw(step: int) -> tuple[Tensor, Tensor]:
        chosen = order[step // 10][20 * (step % 10) : 20 * (step % 10) + 20]
        return inputs[chosen], kinds[chosen]

    return fit(s, model, AdamW(model.parameters(), 2e-3, weight_decay=0.1), draw, F.cross_entropy, 1200)


def clipped_with_warm_up(s: LoopSetting) -> float:
    """The usual recipe: a warm-up, a cosine down to a tenth, and a clip of 1, on a noisy regression."""
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.GELU(), *mlp(64, 64, 1, unit=nn.GELU))
    worth, optimizer, losses = s.normal(8, 1), AdamW(model.parameters(), 3e-3), []
    schedule = LambdaLR(
        optimizer, lambda step: min(1, step / 100) * (0.55 + 0.45 * math.cos(math.pi * step / 900))
    )
    s.watch(model, optimizer)
    for _ in range(900):
        inputs = s.normal(48, 8)
        optimizer.zero_grad()
        loss = F.smooth_l1_loss(model(inputs), (inputs @ worth).tanh() + 0.5 * s.normal(48, 1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return tail(losses)


def asked_again_later(setting: LoopSetting) -> MakeBatch:
    """Batches whose inputs drift slowly while the question remains."""
    inner = two_classes(setting, 0.1)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs, kinds = inner(step)
        return inputs + 0.5 * math.sin(step / 60), kinds

    return draw


def drifting_inputs(s: LoopSetting) -> float:
    """The inputs drift to and fro, as over the seasons, and a tenth of the labels is wrong."""
    model = mlp(10, 48, 2)
    return fit(s, model, SGD(model.parameters(), 0.1), asked_again_later(s), F.cross_entropy, 900)


LOOPS = {
    "new_head": (new_head, 0.6),
    "one_in_fifty": (one_in_fifty, 0.098),
    "decay_in_balance": (decay_in_balance, 0.6),
    "cycled_momentum": (cycled_momentum, 0.75),
    "restarts_of_adamw": (restarts_of_adamw, 0.75),
    "accumulated_by_hand": (accumulated_by_hand, 0.6),
    "searched_lines": (searched_lines, 0.6),
    "body_at_rate_zero": (body_at_rate_zero, 0.6),
    "noisier_by_the_hundred": (noisier_by_the_hundred, 0.67),
    "single_rows_of_noise": (single_rows_of_noise, 1.7),
    "mostly_dropped": (mostly_dropped, 0.55),
    "smoothed_images": (smoothed_images, 0.9),
    "focal_and_rare": (focal_and_rare, 0.05),
    "ternary_weights": (ternary_weights, 0.5),
    "signed_attack": (signed_attack, 0.5),
    "noise_on_gradients": (noise_on_gradients, 0.5),
    "mixed_targets": (mixed_targets, 0.8),
    "exact_line": (exact_line, 1e-6),
    "exclusive_or": (exclusive_or, 0.05),
    "nothing_but_the_mean": (nothing_but_the_mean, 0.35),
    "two_hundred_rows": (two_hundred_rows, 0.3),
    "clipped_with_warm_up": (clipped_with_warm_up, 0.2),
    "drifting_inputs": (drifting_inputs, 0.5),
}
"""Each loop, and the number that a run which learnt comes below."""
