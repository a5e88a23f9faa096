"""The learning rates of one step: the loop's own, times what the controls ask for."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vgrad.controls.capabilities import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from vgrad.controls.controls import Controls

_NO_RATE = (
    "the optimizer has no learning rate that could be read and set: no parameter group has a number as lr,"
    " or a tensor that is on the CPU"
)
_KINDS_OF_RATE = (float, Real)  # the last is for those of numpy, and is slower to ask


class StepRates:
    """Sets the learning rates for one step and puts the base rates back.

    Between two steps ``group["lr"]`` is the base rate, which only the loop and its scheduler write. Where
    nothing is to be scaled, nothing is written.

    Attributes:
        lr: Learning rate of the first group in the last step; NaN where it has none, see `has_rate`.
        base_lr: The same before ``lr_scale``, as the loop, its scheduler and the schedule set it.
        max_lr: Largest learning rate of any group in the last step; NaN where none has one.
        are_set: Whether rates have been written that are to be put back.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.lr = self.base_lr = self.max_lr = 0.0
        self.are_set = False
        self._optimizer = optimizer
        # Group, base rate, rate of this step.
        self._written: list[tuple[dict[str, Any], float | Tensor, float | Tensor]] = []

    def set_(self, controls: Controls, step: int) -> None:
        """Write the rates of step number ``step``, from 1."""
        groups = self._optimizer.param_groups
        factor, scale = controls.schedule.factor(step), controls.lr_scale
        rates = [float(group["lr"]) if has_rate(group) else math.nan for group in groups]
        self.base_lr = rates[0] * factor
        self.lr = self.base_lr * scale
        largest = max(rates) if len(rates) == 1 else max(filter(_is_known, rates), default=math.nan)
        self.max_lr = largest * factor * scale
        if factor == 1.0 and scale == 1.0:
            return
        self._written = []
        self.are_set = True  # before the first is written: a Ctrl-C may come after any call
        for group in filter(has_rate, groups):
            base = group["lr"]
            scaled = base * factor * scale
            self._written.append((group, base, scaled))
            group["lr"] = scaled

    def put_back_(self) -> None:
        """Write the base rates again, but where the step itself has set another rate."""
        if not self.are_set:
            return
        for group, base, written in self._written:
            if group.get("lr") is written:
                group["lr"] = base
        self.are_set = False


def has_rate(group: dict[str, Any]) -> bool:
    """Whether a parameter group has a learning rate that is known here.

    An optimizer may have none, or work it out itself: the groups of Adafactor of ``transformers`` say
    ``lr=None``. To know one that is on an accelerator, as CUDA graphs need it, would be to wait for it.
    """
    rate = group.get("lr")
    return rate.is_cpu if isinstance(rate, Tensor) else isinstance(rate, _KINDS_OF_RATE)


def refusals_without_rate(optimizers: Iterable[torch.optim.Optimizer]) -> tuple[Refusal, ...]:
    """What cannot be used where no parameter group of any of ``optimizers`` has a learning rate."""
    if any(has_rate(group) for optimizer in optimizers for group in optimizer.param_groups):
        return ()
    return Refusal("lr_scale", "", _NO_RATE), Refusal("schedule", "", _NO_RATE)


def _is_known(rate: float) -> bool:
    return not math.isnan(rate)
