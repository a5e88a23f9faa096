"""What guesses cost: read off the loss function where it shows it, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgrad.measure.loss_guesses import guesses_of

LOGITS = torch.randn(6, 5, requires_grad=True)
KINDS = torch.tensor([0, 1, 2, 3, 4, 0])
BOTH = torch.tensor([[0.0, 1.0]] * 3)


def test_it_is_what_equal_logits_cost() -> None:
    zeros = torch.zeros(6, 5, requires_grad=True)
    loss = F.cross_entropy(zeros, KINDS)
    assert guesses_of(loss).uniform == pytest.approx(loss.item())
    over_time = torch.zeros(2, 7, 3, requires_grad=True)
    assert guesses_of(F.cross_entropy(over_time, torch.zeros(2, 3, dtype=torch.long))).uniform == math.log(7)
    weighted = F.cross_entropy(LOGITS, KINDS, weight=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert guesses_of(weighted).uniform == math.log(5)


def test_of_two_classes_it_is_known_only_where_both_are_asked_for() -> None:
    logits = torch.zeros(3, 2, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(logits, BOTH)
    assert guesses_of(loss).uniform == pytest.approx(loss.item())
    of_a_player = F.binary_cross_entropy_with_logits(logits, torch.ones(3, 2))
    assert math.isnan(guesses_of(of_a_player).uniform)


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy(LOGITS, KINDS, reduction="sum"),
        F.cross_entropy(LOGITS, KINDS) / 4,
        F.cross_entropy(LOGITS, KINDS) + LOGITS.square().mean(),
        F.nll_loss(LOGITS, KINDS),
        torch.tensor(1.0),
    ],
)
def test_of_other_losses_it_is_not_known(loss: Tensor) -> None:
    assert math.isnan(guesses_of(loss).uniform)


def test_what_a_scaler_multiplies_is_looked_through() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss = F.cross_entropy(LOGITS, KINDS)
    scaled = guesses_of(scaler.scale(loss), is_scaled=True)
    assert astuple(scaled) == pytest.approx(astuple(guesses_of(loss)), nan_ok=True)
    squared = F.mse_loss(LOGITS, torch.arange(30.0).view(6, 5))
    expected = guesses_of(squared).over_constant
    assert guesses_of(scaler.scale(squared), is_scaled=True).over_constant == expected


@pytest.mark.parametrize("shape", [(64,), (64, 1), (64, 3), (64, 5, 2)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_constant_prediction_costs_the_variance_of_the_targets(
    shape: tuple[int, ...], reduction: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(shape[1:], generator=generator)  # of each output, which a constant knows
    ratios: dict[float, list[float]] = {0.0: [], 0.6: []}
    for explained, found in ratios.items():
        for _ in range(200):
            signal, noise = torch.randn((2, *shape), generator=generator)
            targets = means + explained**0.5 * signal + (1 - explained) ** 0.5 * noise
            outputs = (means + explained**0.5 * signal).requires_grad_()
            found.append(guesses_of(F.mse_loss(outputs, targets, reduction=reduction)).over_constant)
    assert sum(ratios[0.0]) / 200 == pytest.approx(1, abs=0.02)
    assert sum(ratios[0.6]) / 200 == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    "targets", [torch.zeros(6, 5), torch.ones(1, 5), torch.tensor(2.0), torch.full((6, 5), math.nan)]
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_targets_that_do_not_differ_show_nothing(targets: Tensor) -> None:
    outputs = torch.randn(targets.shape, requires_grad=True)
    assert math.isnan(guesses_of(F.mse_loss(outputs, targets)).over_constant)
    assert math.isnan(guesses_of(F.l1_loss(outputs, targets)).over_constant)
