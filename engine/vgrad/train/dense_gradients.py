"""Whether a task gives the dense gradients that some controls need: asked of its own model, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vgrad.controls.capabilities import NEEDS_DENSE, Capabilities, without_dense
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.controls import require_usable
from vgrad.errors import ConfigError
from vgrad.gradients.gradient_reader import has_sparse_module
from vgrad.methods.precision import Float32
from vgrad.task.task import peek
from vgrad.train.trial_step import trial_gradients

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls
    from vgrad.task import Task


class DenseGradients:
    """Finds out by one trial step, when a control first needs dense gradients, and remembers the answer.

    Only the gradients themselves tell: ``F.embedding(words, weight, sparse=True)`` leaves no trace in the
    modules. The trial step changes nothing, see `trial_gradients`.

    Args:
        task: What is to be trained.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._has_sparse: bool | None = True if has_sparse_module(task.model) else None

    def require(self, controls: Controls) -> None:
        """Check that every control that needs dense gradients gets them.

        Raises:
            ConfigError: If one does not; says which.
        """
        decay = getattr(controls.optimizer, "weight_decay", 0.0)
        values = [getattr(controls, name) for name in CONTROLS]
        if not decay and not any(getattr(value, "needs_dense", False) for value in values):
            return
        if self._has_sparse is None:
            self._has_sparse = self._ask()
        if self._has_sparse:
            require_usable(controls, Capabilities(without_dense()))
            if decay:
                raise ConfigError(f"optimizer: weight_decay {NEEDS_DENSE}")

    def _ask(self) -> bool:
        """Whether a gradient is sparse; no if there is no data, or the model fails: training says why."""
        try:
            gradients = trial_gradients(self._task, peek(self._task), Float32())
        except Exception:  # noqa: BLE001  # of a person's model or data: the first real step raises it again
            return False
        return any(gradient.layout is not torch.strided for gradient in gradients)
