"""Parameters that a loop updates by hand: an optimizer stands in for the one that the loop does not have."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vgrad.controls.capabilities import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from vgrad.events.layer_stats import LayerStats

NO_OPTIMIZER = "there is no optimizer whose step could be steered: the parameters are updated by hand"

_NOT_BY_HAND = ("accumulate", "freeze", "lr_scale", "schedule", "skip_non_finite")


class UpdatesByHand(torch.optim.Optimizer):
    """Has the parameters and the hooks of an optimizer, and its step changes nothing.

    It is stepped at the end of every backward pass, so its hooks see the gradients that the loop is about to
    use, and a gradient that is clipped there is clipped for the loop. Its learning rate is NaN: not known.
    """

    def __init__(self, params: Iterable[Tensor]) -> None:
        super().__init__(list(params), {"lr": math.nan})

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change nothing."""


def what_steps(optimizer: torch.optim.Optimizer) -> str:
    """What changes the weights, in words."""
    is_by_hand = isinstance(optimizer, UpdatesByHand)
    return "parameters updated by hand" if is_by_hand else type(optimizer).__name__


def as_measured(stats: LayerStats) -> LayerStats:
    """``stats``, of which all is known: those of an optimizer."""
    return stats


class WithoutUpdates:
    """Leaves out of statistics what is not known of updates by hand: where the loop moves its weights.

    For the same statistics it returns the same, so that a judge sees whether they are new.
    """

    def __init__(self) -> None:
        self._newest: tuple[LayerStats, LayerStats] | None = None  # as measured, and as known

    def __call__(self, stats: LayerStats) -> LayerStats:
        """``stats`` without the updates."""
        if self._newest is None or self._newest[0] is not stats:
            self._newest = stats, replace(stats, update_ratio=np.full_like(stats.update_ratio, np.nan))
        return self._newest[1]


def refusals_by_hand() -> tuple[Refusal, ...]:
    """What cannot be used where no optimizer makes the step: all but what changes gradients in place."""
    return tuple(Refusal(name, "", NO_OPTIMIZER) for name in _NOT_BY_HAND)
