"""What a uniform guess costs: read off the loss function where it shows it, and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vgrad.measure.uniform_guess import uniform_loss

LOGITS = torch.randn(6, 5, requires_grad=True)
KINDS = torch.tensor([0, 1, 2, 3, 4, 0])
BOTH = torch.tensor([[0.0, 1.0]] * 3)


def test_it_is_what_equal_logits_cost() -> None:
    zeros = torch.zeros(6, 5, requires_grad=True)
    loss = F.cross_entropy(zeros, KINDS)
    assert uniform_loss(loss) == pytest.approx(loss.item())
    over_time = torch.zeros(2, 7, 3, requires_grad=True)
    assert uniform_loss(F.cross_entropy(over_time, torch.zeros(2, 3, dtype=torch.long))) == math.log(7)
    weighted = F.cross_entropy(LOGITS, KINDS, weight=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert uniform_loss(weighted) == math.log(5)


def test_of_two_classes_it_is_known_only_where_both_are_asked_for() -> None:
    logits = torch.zeros(3, 2, requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(logits, BOTH)
    assert uniform_loss(loss) == pytest.approx(loss.item())
    of_a_player = F.binary_cross_entropy_with_logits(logits, torch.ones(3, 2))
    assert math.isnan(uniform_loss(of_a_player))


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy(LOGITS, KINDS, reduction="sum"),
        F.cross_entropy(LOGITS, KINDS) / 4,
        F.cross_entropy(LOGITS, KINDS) + LOGITS.square().mean(),
        F.nll_loss(LOGITS, KINDS),
        F.mse_loss(LOGITS, torch.zeros(6, 5)),
        torch.tensor(1.0),
    ],
)
def test_of_other_losses_it_is_not_known(loss: Tensor) -> None:
    assert math.isnan(uniform_loss(loss))
