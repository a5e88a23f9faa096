"""What of a trainer holds state, captured and put back together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError, DataError, VgradError
from vgrad.train.model_state import capture_model, how_models_differ, restore_model_

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vgrad.measure.through_time import ThroughTimeProbe
    from vgrad.task import Task
    from vgrad.train.backward import Backward
    from vgrad.train.current_optimizer import CurrentOptimizer
    from vgrad.train.reinit import Reinits
    from vgrad.watching.optimizer_tap import OptimizerTap

# What a state raises that is not what was captured.
DAMAGED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, VgradError)


@dataclass(frozen=True, slots=True, eq=False)
class StateHolders:
    """All that decides how training goes on, beside the judges and the global random state.

    Attributes:
        task: Model and data.
        tap: What has been measured and steered.
        backward: What forward and backward passes have learnt, such as the loss scale.
        optimizer: The optimizer in force and the task's own.
        reinits: The weights that can be put back.
        time: What has been measured through time; None where the model is not recurrent.
    """

    task: Task
    tap: OptimizerTap
    backward: Backward
    optimizer: CurrentOptimizer
    reinits: Reinits
    time: ThroughTimeProbe | None

    def capture(self) -> dict[str, Any]:
        """Return the state of each by name; tensors are not copied.

        Raises:
            ConfigError: If the data can only be read on, so that its position cannot be captured.
        """
        return {
            "task": self.task.capture(),
            "model": capture_model(self.task.model),
            "optimizer": self.optimizer.capture(),
            "watching": self.tap.capture(),
            "backward": self.backward.capture(),
            "reinits": self.reinits.capture(),
            "time": None if self.time is None else self.time.capture(),
        }

    def controls_in(self, content: Mapping[str, Any]) -> Controls:
        """Return the controls of a captured state. Changes nothing.

        Raises:
            ConfigError: If the state is of another model; says what differs.
            DataError: If it is not what `capture` returned.
        """
        try:
            differing = how_models_differ(self.task.model, content["model"])
            controls = content["watching"]["controls"]
            if not isinstance(controls, Controls):
                raise TypeError(f"its controls are a {type(controls).__name__}")
        except DAMAGED as error:
            raise DataError(f"the state cannot be restored: {error!r}") from None
        if differing is not None:
            raise ConfigError(f"the state is of another model: {differing}")
        return controls

    def restore_(self, content: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned, and keep its tensors; raises one of `DAMAGED` if it is not."""
        self.task.restore_(content["task"])
        restore_model_(self.task.model, content["model"])
        self.tap.move_to(self.optimizer.restore_(content["optimizer"]))
        self.tap.restore_(content["watching"])
        self.backward.set(None, self.tap.controls)
        self.backward.restore_(content["backward"])
        self.reinits.restore_(content["reinits"])
        if self.time is not None:
            self.time.restore_(content["time"])
