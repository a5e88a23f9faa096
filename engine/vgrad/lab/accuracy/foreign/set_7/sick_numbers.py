"""Sick loops whose numbers stop being finite, each with its cure. What each is stands in `kinds`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from vgrad.lab.accuracy.foreign.loops import LoopSetting, fit, minimise, mlp


def raw_areas(s: LoopSetting) -> float:
    """Linear regression on areas in the thousands with SGD at .01: NaN within a few dozen steps."""
    model = nn.Linear(3, 1)
    scale = torch.tensor([1.0, 1.0, 1.0] if s.is_cured else [2000.0, 3.0, 1.0])

    def draw(step: int) -> tuple[Tensor, Tensor]:
        inputs = s.uniform(32, 3)
        return inputs * scale, 2 * inputs.sum(1, keepdim=True) + 0.1 * s.normal(32, 1)

    return fit(s, model, SGD(model.parameters(), 0.1 if s.is_cured else 0.01), draw, F.mse_loss, 400)


def last_batch_of_one(s: LoopSetting) -> float:
    """Batches are standardised by their own spread, and the last of an epoch has one row."""
    model = mlp(6, 24, 2)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        num = 1 if step % 60 == 59 and not s.is_cured else 32
        inputs = s.normal(num, 6)
        return (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-6), (inputs[:, 0] > 0).long()

    return fit(s, model, Adam(model.parameters(), 5e-3), draw, F.cross_entropy, 300)


def softplus_by_hand(s: LoopSetting) -> float:
    """``log(1 + exp(x))`` of numbers in the hundreds; the library's function cures it."""
    model = mlp(6, 24, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        answers = 20 * model(3 * inputs)
        targets = (inputs[:, :1] > 0).float()
        if s.is_cured:
            return F.binary_cross_entropy_with_logits(answers, targets)
        return ((1 + answers.exp()).log() - targets * answers).mean()

    return minimise(s, model, Adam(model.parameters(), 2e-2), loss_at, 400)


def where_of_root(s: LoopSetting) -> float:
    """``where(x > 0, sqrt(x), 0)``: the branch that is not taken has a gradient of NaN."""
    model = mlp(4, 24, 1)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 4)
        answers = model(inputs)
        root = answers.clamp(min=1e-6).sqrt() if s.is_cured else answers.sqrt()
        return F.mse_loss(torch.where(answers > 0, root, answers), inputs[:, :1])

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 400)


def power_of_negative(s: LoopSetting) -> float:
    """A fractional power of answers that become negative; their absolute values cure it."""
    model = mlp(4, 24, 1)
    nn.init.constant_(model[-1].bias, 1.5)  # type: ignore[arg-type]

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 4)
        answers = model(inputs)
        base = answers.abs() + 1e-3 if s.is_cured else answers
        return F.mse_loss(base**1.5, (1 + inputs[:, :1]).abs())

    return minimise(s, model, Adam(model.parameters(), 5e-3), loss_at, 500)


def half_distances(s: LoopSetting) -> float:
    """Squares of inputs in the hundreds are summed in float16; float32 cures it."""
    model = nn.Linear(8, 3)
    centres = s.normal(3, 8)

    def loss_at(step: int) -> Tensor:
        kinds = torch.randint(0, 3, (48,), generator=s.data)
        inputs = 150 * (centres[kinds] + 0.3 * s.normal(48, 8))
        means = 150 * model.weight + model.bias[:, None]
        left, right = (inputs, means) if s.is_cured else (inputs.half(), means.half())
        distances = left.square().sum(1)[:, None] + right.square().sum(1) - 2 * left @ right.T
        return F.cross_entropy(-distances.float() / 150**2, kinds)

    return minimise(s, model, Adam(model.parameters(), 1e-2), loss_at, 300)


def divergence_of_zero(s: LoopSetting) -> float:
    """A divergence with the log of shares that a ReLU makes zero; a softmax cures it."""
    model = mlp(6, 24, 4)

    def loss_at(step: int) -> Tensor:
        inputs = s.normal(48, 6)
        targets = inputs[:, :4].softmax(1)
        answers = model(inputs)
        if s.is_cured:
            return F.kl_div(answers.log_softmax(1), targets, reduction="batchmean")
        shares = answers.relu()
        return F.kl_div((shares / shares.sum(1, keepdim=True)).log(), targets, reduction="batchmean")

    return minimise(s, model, Adam(model.parameters(), 3e-3), loss_at, 300)


LOOPS = {
    "raw_areas": (raw_areas, 0.1),
    "last_batch_of_one": (last_batch_of_one, 0.4),
    "softplus_by_hand": (softplus_by_hand, 0.4),
    "where_of_root": (where_of_root, 0.5),
    "power_of_negative": (power_of_negative, 1.0),
    "half_distances": (half_distances, 0.4),
    "divergence_of_zero": (divergence_of_zero, 0.1),
}
"""Each loop, and the number that a run which learnt comes below."""
