"""What the callbacks of all frameworks share: one watch for one training, no matter what started it."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

from torch import Tensor

from vgrad.run.watched_loop import watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from vgrad.controls.controls import Controls
    from vgrad.watching.watch import Watch


class CallbackWatch:
    """What all callbacks of the name `VgradCallback` share. It watches one training at a time.

    Where the process is watched as a whole (``python -m vgrad``, ``vgrad-tui watch``), it joins that watch.
    No step is counted or recorded twice, and the name and the folder of the run are the process's own.

    Args:
        name: What the run is called; the model's class unless given.
        controls: What is done to the gradients from the first step on, after the trainer's own clipping.
        record: Whether to record the run into a folder, where `vgrad-tui attach` and `send` find it.

    Attributes:
        watch: The watch of the training that runs, or of the last one; None before the first.
    """

    def __init__(
        self, name: str | None = None, *, controls: Controls | None = None, record: bool = True
    ) -> None:
        self.watch: Watch | None = None
        self._name = name
        self._controls = controls
        self._record = record

    def begin_watch(self, model: nn.Module, optimizers: Sequence[object]) -> None:
        """Training begins.

        Raises:
            ConfigError: If there is nothing to watch, or the controls cannot be used in somebody's own loop.
        """
        self.end_watch()
        self.watch = watch(model, optimizers, name=self._name, controls=self._controls, record=self._record)

    def log_metrics(self, metrics: Mapping[str, object]) -> None:
        """Put those of ``metrics`` on the record that are finite numbers."""
        numbers = {name: number for name, value in metrics.items() if (number := _number(value)) is not None}
        if self.watch is not None and numbers:
            self.watch.log_metrics(numbers)

    def end_watch(self, error: BaseException | None = None) -> None:
        """Training has ended; with ``error``, if one ended it. A watch of the whole process goes on."""
        if self.watch is not None:
            self.watch.close(error)


def _number(value: object) -> float | None:
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    return float(value) if isinstance(value, Real) and math.isfinite(value) else None
