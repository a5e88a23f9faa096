"""The optimizer in force: the recipe's own, or one that was chosen in its place."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.methods.optimizers import choice_of, default_lr, make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import nn

    from vgrad.methods.optimizers import OptimizerChoice


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The state of an optimizer: momenta, averages.

    Attributes:
        choice: The optimizer that it belongs to; None for the recipe's own.
        state: Its ``state_dict``.
    """

    choice: OptimizerChoice | None
    state: dict[str, Any]


class CurrentOptimizer:
    """Holds the recipe's own optimizer and whichever has taken its place.

    Learning rates in the parameter groups are base rates: schedule and ``lr_scale`` act on them within a
    step only, see `OptimizerTap`, so nothing here has to bring them back.

    Args:
        own: The recipe's optimizer, over all trainable parameters.
        params: Those parameters.

    Attributes:
        optimizer: The one in force.
        choice: What it was made from; None for the recipe's own.
    """

    def __init__(self, own: torch.optim.Optimizer, params: Sequence[nn.Parameter]) -> None:
        self.optimizer = own
        self.choice: OptimizerChoice | None = None
        self._own = own
        self._params = params

    def use(self, choice: OptimizerChoice | None) -> torch.optim.Optimizer:
        """Put ``choice`` (None: the recipe's own) in force; it begins with an empty memory."""
        self.choice = choice
        self._own.state.clear()
        if choice is None:
            self.optimizer = self._own
        else:
            self.optimizer = make(choice, self._params, lr=default_lr(choice, choice_of(self._own)))
        return self.optimizer

    def memory(self) -> Memory:
        """Return a copy of what the optimizer in force remembers."""
        return Memory(self.choice, copy.deepcopy(self.optimizer.state_dict()))

    def forget(self) -> None:
        """Clear the memory of the optimizer in force."""
        self.optimizer.state.clear()

    def remember(self, memory: Memory) -> None:
        """Go back to what `memory` returned; if another optimizer is in force by now, clear its memory."""
        if memory.choice == self.choice:
            self.optimizer.load_state_dict(memory.state)
        else:
            self.forget()

    def capture(self) -> dict[str, Any]:
        """Return the states of the recipe's optimizer and of another one in force; tensors are not copied."""
        other = None if self.choice is None else self.optimizer.state_dict()
        return {"choice": self.choice, "own": self._own.state_dict(), "other": other}

    def restore_(self, captured: Mapping[str, Any]) -> torch.optim.Optimizer:
        """Go back to what `capture` returned; the optimizers keep its tensors.

        Returns:
            The optimizer that is in force now.

        Raises:
            ValueError: If a state does not fit its optimizer.
        """
        own, choice, other = captured["own"], captured["choice"], captured["other"]
        optimizer = self.use(choice)
        self._own.load_state_dict(own)
        if choice is not None:
            optimizer.load_state_dict(other)
        return optimizer
