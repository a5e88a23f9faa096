"""Small models that several loops share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Spike(torch.autograd.Function):
    """A step whose gradient is that of a triangle of half width 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (1 - x.abs()).clamp(min=0)


class SpikingClassifier(nn.Module):
    """Leaky units over eight steps of time, and an answer from how often they fired.

    Args:
        threshold: At which a unit fires. Where it is out of reach, no gradient passes at all.
    """

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(10, 48), nn.Linear(48, 2)
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        current = self.inner(x)
        charge, fired = torch.zeros_like(current), torch.zeros_like(current)
        for _ in range(8):
            charge = 0.8 * charge + current
            spike = _Spike.apply(charge - self.threshold)
            charge = charge - spike.detach() * self.threshold
            fired = fired + spike
        result: Tensor = self.outer(fired / 8)
        return result


class Residual(nn.Module):
    """A layer with a way around it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and what the layer makes of it."""
        result: Tensor = x + self.inner(x)
        return result


class RecurrentClassifier(nn.Module):
    """A recurrent cell, and an answer from its last state."""

    def __init__(self, cell: nn.RNNBase, num_out: int) -> None:
        super().__init__()
        self.cell = cell
        self.answer = nn.Linear(cell.hidden_size, num_out)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape ``(batch, num_out)``."""
        states, _ = self.cell(x)
        result: Tensor = self.answer(states[:, -1])
        return result
