"""Whether a task can be trained in a precision: asked of its own model, once, when it is first wanted."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.methods.precision import BFloat16, Float32, Precision, supports
from vgrad.task.task import peek
from vgrad.train.trial_step import trial_gradients

if TYPE_CHECKING:
    from vgrad.task import Microbatch, Task


class PrecisionSupport:
    """Finds out by one forward and backward pass, and remembers the answer.

    A linear layer is not enough to ask: oneDNN, for one, has float16 products on this CPU and no float16
    LSTM. The pass sees the next training microbatch, which stays the next. Weights, ``p.grad``, buffers
    (the statistics of batch norm), random states and the position in the data stay as they are.

    Args:
        task: What is to be trained.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._answers: dict[type[Precision], str | None] = {}

    def require(self, precision: Precision) -> None:
        """Check that the task can be trained in ``precision``.

        Raises:
            ConfigError: If it cannot; says why.
        """
        reason = self.why_not(precision)
        if reason is not None:
            raise ConfigError(f"precision: {reason}")

    def why_not(self, precision: Precision) -> str | None:
        """Return why the task cannot be trained in ``precision``, or None if it can.

        The first answer for a precision costs about a training step. It waits for the device: ask between
        two steps. A model that fails in float32 as well is not refused: its own error is the better one.
        """
        if isinstance(precision, Float32):
            return None
        kind = type(precision)
        if kind not in self._answers:
            self._answers[kind] = self._ask(precision)
        return self._answers[kind]

    def _ask(self, precision: Precision) -> str | None:
        device = self._task.device
        reason = supports(precision, device)
        if reason is not None:
            return reason
        try:
            batch = peek(self._task)
        except StopIteration:  # the data has ended, and nothing is trained any more
            return None
        error = _error_of_a_step(self._task, batch, precision)
        if error is None or _error_of_a_step(self._task, batch, Float32()) is not None:
            return None
        name = "bfloat16" if isinstance(precision, BFloat16) else "float16"
        words = textwrap.shorten(str(error), 120, placeholder=" …")
        return f"this model cannot be trained in {name} on {device} ({words}): use fp32"


def _error_of_a_step(task: Task, batch: Microbatch, precision: Precision) -> Exception | None:
    """What a forward and a backward pass raise. They leave nothing behind."""
    try:
        trial_gradients(task, batch, precision)
    except Exception as error:  # noqa: BLE001  # of a person's model: whatever it is, it is the reason
        return error
    return None
