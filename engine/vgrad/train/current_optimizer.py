"""The optimizer in force, and its base learning rate at each step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.methods.optimizers import choice_of, default_lr, make
from vgrad.methods.schedules import Constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from vgrad.methods.optimizers import OptimizerChoice
    from vgrad.methods.schedules import Schedule


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The state of an optimizer: momenta, averages."""

    of: torch.optim.Optimizer
    state: dict[str, Any]


class CurrentOptimizer:
    """Holds the recipe's own optimizer and whichever has taken its place.

    Args:
        own: The recipe's optimizer, over all trainable parameters.
        params: Those parameters.

    Attributes:
        optimizer: The one in force.
    """

    def __init__(self, own: torch.optim.Optimizer, params: Sequence[nn.Parameter]) -> None:
        self.optimizer = own
        self._own = own
        self._own_lrs = [float(group["lr"]) for group in own.param_groups]
        self._lrs = self._own_lrs
        self._params = params
        self._is_scheduled = False

    def use(self, choice: OptimizerChoice | None) -> torch.optim.Optimizer:
        """Put ``choice`` (None: the recipe's own) in force; it begins with an empty memory."""
        if choice is None:
            self._own.state.clear()
            self.optimizer, self._lrs = self._own, self._own_lrs
        else:
            lr = default_lr(choice, recipe_lr=self._own_lrs[0], recipe=choice_of(self._own))
            self.optimizer, self._lrs = make(choice, self._params, lr=lr), [lr]
        return self.optimizer

    def memory(self) -> Memory:
        """What the optimizer in force remembers, as a copy."""
        return Memory(self.optimizer, copy.deepcopy(self.optimizer.state_dict()))

    def forget(self) -> None:
        """Let the optimizer in force begin anew."""
        self.optimizer.state.clear()

    def remember(self, memory: Memory) -> None:
        """Go back to what `memory` gave; another optimizer that is in force by now begins anew."""
        if memory.of is self.optimizer:
            self.optimizer.load_state_dict(memory.state)
        else:
            self.forget()

    def set_lr(self, schedule: Schedule, step: int) -> None:
        """Set the base learning rate of optimizer step number ``step``.

        A constant one is left alone: a scheduler of torch's may be at work on it.
        """
        is_constant = isinstance(schedule, Constant)
        if is_constant and not self._is_scheduled:
            return
        self._is_scheduled = not is_constant
        factor = schedule.factor(step)
        for group, lr in zip(self.optimizer.param_groups, self._lrs, strict=True):
            group["lr"] = lr * factor
