"""The learning rates of one step: the loop's own, times what the controls ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vgrad.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from vgrad.controls.controls import Controls


class StepRates:
    """Sets the learning rates for one step and puts the base rates back.

    Between two steps ``group["lr"]`` is the base rate, which only the loop and its scheduler write. Where
    nothing is to be scaled, nothing is written.

    Attributes:
        lr: Learning rate of the first group in the last step.
        base_lr: The same before ``lr_scale``, as the loop, its scheduler and the schedule set it.
        max_lr: Largest learning rate of any group in the last step.
        are_set: Whether rates have been written that are to be put back.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        require_readable(optimizer)
        self.lr = self.base_lr = self.max_lr = 0.0
        self.are_set = False
        self._optimizer = optimizer
        self._written: list[tuple[float | Tensor, float | Tensor]] = []  # base rate, rate of this step

    def set_(self, controls: Controls, step: int) -> None:
        """Write the rates of step number ``step``, from 1."""
        groups = self._optimizer.param_groups
        factor, scale = controls.schedule.factor(step), controls.lr_scale
        rates = [float(group.get("lr", 0.0)) for group in groups]
        self.base_lr = rates[0] * factor
        self.lr = self.base_lr * scale
        self.max_lr = max(rates) * factor * scale
        if factor == 1.0 and scale == 1.0:
            return
        self._written = []
        for group in groups:
            if "lr" in group:
                base = group["lr"]
                group["lr"] = base * factor * scale
                self._written.append((base, group["lr"]))
        self.are_set = True

    def put_back_(self) -> None:
        """Write the base rates again, but where the step itself has set another rate."""
        if not self.are_set:
            return
        self.are_set = False
        groups = (group for group in self._optimizer.param_groups if "lr" in group)
        for group, (base, written) in zip(groups, self._written, strict=False):
            if group["lr"] is written:
                group["lr"] = base


def require_readable(optimizer: torch.optim.Optimizer) -> None:
    """Check that the learning rates can be read without waiting for a device.

    Raises:
        ConfigError: If one of them lives on an accelerator.
    """
    lrs = [group.get("lr", 0.0) for group in optimizer.param_groups]
    if any(isinstance(lr, Tensor) and lr.device.type != "cpu" for lr in lrs):
        raise ConfigError("a learning rate on an accelerator cannot be read without waiting: use a float")
