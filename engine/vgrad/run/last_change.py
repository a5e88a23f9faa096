"""What the last change did to the loss, found once enough steps have followed it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vgrad.diagnose.command_effect import HORIZONS, Effect, judge_effect

Losses = Callable[[int, int], NDArray[np.float32]]
"""Losses of steps ``[start, stop)``, as many as were recorded."""

_STEPS_BEFORE = 100  # length of the window before a command


class LastChange:
    """Follows the loss after the newest command for a thousand steps.

    The window before it does not reach back beyond the change before: what that one did is not this one's.
    From 100 steps on the answer stands until the next horizon is reached.
    """

    def __init__(self) -> None:
        self._step: int | None = None
        self._labels: dict[str, str] = {}  # by topic
        self._from = 1
        self._effect: Effect | None = None
        self._num_after = 0  # steps that it was found after

    def restart(self, step: int, topic: str, label: str) -> None:
        """A command took effect at ``step``; what takes effect at the same step is one change with it.

        Of several commands about one topic at the same step, only the last one changed a step.
        """
        self._effect = None
        if self._step != step:
            self._from = self._step or 1
            self._step, self._labels = step, {}
        self._labels.pop(topic, None)  # the order is that of the commands that count
        self._labels[topic] = label

    def effect(self, losses: Losses, last: int) -> tuple[tuple[str, ...], Effect] | None:
        """What the change consists of, and what it did to the loss up to step ``last``.

        None before any command.
        """
        if self._step is None:
            return None
        step = self._step
        num_after = max(0, last - step + 1)
        num_after = max((horizon for horizon in HORIZONS if horizon <= num_after), default=num_after)
        if self._effect is None or num_after != self._num_after:
            length = min(_STEPS_BEFORE, step - self._from)
            self._effect = judge_effect(losses(step - length, step), losses(step, step + num_after))
            self._num_after = num_after
        return tuple(self._labels.values()), self._effect
