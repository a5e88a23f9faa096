"""Brings a model, its passes, its gradients and its optimizer to what the controls say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.controls.controls import require_usable
from vgrad.train.capabilities import STRUCTURE, capabilities_of_task
from vgrad.train.dense_gradients import DenseGradients
from vgrad.train.model_parts import current, set_structure_
from vgrad.train.precision_support import PrecisionSupport

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls
    from vgrad.task import Task
    from vgrad.train.backward import Backward
    from vgrad.train.current_optimizer import CurrentOptimizer
    from vgrad.watching.optimizer_tap import OptimizerTap


class ControlsInForce:
    """Carries out controls, and refuses those that this model or its device cannot.

    Args:
        task: The task, its model as it was built.
        tap: Steers the gradients.
        backward: Makes the forward and backward passes.
        current_optimizer: Holds the optimizer in force.

    Attributes:
        capabilities: What can be used on this model.
        built: The structure of the model as it was built, by control.
    """

    def __init__(
        self, task: Task, tap: OptimizerTap, backward: Backward, current_optimizer: CurrentOptimizer
    ) -> None:
        self.capabilities = capabilities_of_task(task)
        self.built = current(task.model)
        self._model = task.model
        self._tap = tap
        self._backward = backward
        self._current_optimizer = current_optimizer
        self._precisions = PrecisionSupport(task)
        self._dense = DenseGradients(task)

    def require(self, controls: Controls) -> None:
        """Check that ``controls`` can be used here. Changes nothing.

        Raises:
            ConfigError: If they cannot; says why.
        """
        require_usable(controls, self.capabilities)
        self._precisions.require(controls.precision)
        self._dense.require(controls)

    def use(self, before: Controls | None, controls: Controls) -> None:
        """Bring everything from the controls ``before`` (None: as built) to ``controls``.

        What can be refused is asked first, so that a refusal leaves everything as it was.

        Raises:
            ConfigError: If ``controls`` cannot be carried out; says why.
        """
        if before is None or controls.precision != before.precision:
            self._precisions.require(controls.precision)
        self._dense.require(controls)
        self._tap.controls = controls  # refuses layers to freeze that do not exist
        self._backward.set(before, controls)
        for name in STRUCTURE:
            wanted = getattr(controls, name)
            if wanted != (None if before is None else getattr(before, name)):
                set_structure_(self._model, name, self.built[name] if wanted is None else wanted)
        if controls.optimizer != (None if before is None else before.optimizer):
            self._tap.move_to(self._current_optimizer.use(controls.optimizer))
