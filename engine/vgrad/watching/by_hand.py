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


def without_updates(stats: LayerStats) -> LayerStats:
    """``stats`` without the updates: the loop moves its weights where no hook sees it."""
    return replace(stats, update_ratio=np.full_like(stats.update_ratio, np.nan))


def refusals_by_hand() -> tuple[Refusal, ...]:
    """What cannot be used where no optimizer makes the step: all but what changes gradients in place."""
    return tuple(Refusal(name, "", NO_OPTIMIZER) for name in _NOT_BY_HAND)
