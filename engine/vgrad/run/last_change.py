"""What the last command did to the loss, found once enough steps have followed it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vgrad.diagnose.command_effect import Effect, judge_effect

Losses = Callable[[int, int], NDArray[np.float32]]
"""Losses of steps ``[start, stop)``, as many as were recorded."""

_STEPS = 100  # length of the windows before and after a command


class LastChange:
    """Follows the newest command until what it did to the loss can be told.

    The windows before and after it are of equal length, and the one before does not reach back
    beyond the change before: what that one did is not this one's. The answer stands once the
    later window is full.
    """

    def __init__(self) -> None:
        self._of: tuple[int, str] | None = None
        self._from = 1
        self._effect: Effect | None = None

    def restart(self, step: int, label: str) -> None:
        """A command took effect at ``step``; what takes effect at the same step is one change with it."""
        self._effect = None
        if self._of is not None and self._of[0] == step:
            self._of = (step, f"{self._of[1]} + {label}")
            return
        self._from = self._of[0] if self._of else 1
        self._of = (step, label)

    def effect(self, losses: Losses, last: int) -> tuple[str, Effect] | None:
        """The command's label and what it did to the loss up to step ``last``; None before any command."""
        if self._of is None:
            return None
        step, label = self._of
        if self._effect is not None:
            return label, self._effect
        length = min(_STEPS, step - self._from)
        effect = judge_effect(losses(step - length, step), losses(step, step + length))
        if length and last >= step + length - 1:
            self._effect = effect
        return label, effect
