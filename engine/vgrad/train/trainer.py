"""The built-in loop: one optimizer step at a time. No threads, no I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from vgrad.controls.controls import (
    Command,
    Controls,
    Reinit,
    UndoReinit,
    as_applied,
    reduce,
    require_usable,
)
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.events.run_info import RunInfo
from vgrad.gradcheck.check import check_gradients
from vgrad.measure.hidden_gradients import is_recurrent
from vgrad.measure.through_time import ThroughTimeProbe
from vgrad.task.task import peek
from vgrad.train.backward import Backward
from vgrad.train.capabilities import STRUCTURE, capabilities_of, require_optimizer
from vgrad.train.current_optimizer import CurrentOptimizer
from vgrad.train.model_parts import current, set_structure_, structure_of
from vgrad.train.precision_support import PrecisionSupport
from vgrad.train.reinit import Reinits
from vgrad.watching.optimizer_tap import OptimizerTap

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.config import RunConfig
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.gradcheck.check import GradCheck
    from vgrad.task import Microbatch, Task

KEEP_S = 0.02  # for which finished steps are kept back to be reported together: no eye sees it
# Of the budget, where a model is recurrent: its layers get the rest.
_TIME_SHARE = 0.5


class Trainer:
    """Trains a task, and changes how when told to.

    Use it from one thread. `vgrad.build` makes one from a recipe.

    Args:
        task: Model, optimizer and data.
        config: The run.
        description: One line of what the run shows.
        controls: The controls of the first step; those of ``config`` unless given.

    Raises:
        ConfigError: If the controls do not fit the model or its device.
    """

    def __init__(
        self, task: Task, config: RunConfig, description: str = "", controls: Controls | None = None
    ) -> None:
        self.task = task
        self.config = config
        self._description = description
        self._exhausted = False
        self._batch: Microbatch | None = None
        self._built = current(task.model)
        self._capabilities = capabilities_of(task.model)
        self._time: ThroughTimeProbe | None = None
        budget = config.watch_budget
        if is_recurrent(task.model):
            self._time = ThroughTimeProbe(task, _TIME_SHARE * budget)
            budget *= 1 - _TIME_SHARE
        self._tap = OptimizerTap(
            task.model, task.optimizer, watch_budget=budget, seed=config.seed, keep_s=KEEP_S
        )
        self._precisions = PrecisionSupport(task)
        self._passes = Backward(task, seed=config.seed)
        self._stepper = CurrentOptimizer(task.optimizer, self._tap.layers.params)
        self._reinits = Reinits(task.model, self._stepper, seed=config.seed)
        try:
            controls = config.controls() if controls is None else controls
            require_usable(controls, self._capabilities)
            self._use(None, controls)
        except ConfigError:
            self._tap.remove()
            raise

    @property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in the order of ``StepRecord.grad_norms``."""
        return self._tap.layers.names

    @property
    def controls(self) -> Controls:
        """The controls of the next step."""
        return self._tap.controls

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return self._tap.step

    @property
    def is_exhausted(self) -> bool:
        """Whether the data has ended; it never does in the built-in recipes."""
        return self._exhausted

    @property
    def _device(self) -> torch.device:
        return self._tap.layers.params[0].device

    def info(self) -> RunInfo:
        """What this run is."""
        return RunInfo(
            recipe=self.config.recipe,
            description=self._description,
            seed=self.config.seed,
            device=str(self._device),
            layers=self.layers,
            layer_sizes=self._tap.layers.sizes,
            unit=self.task.unit,
            num_steps=self.config.steps,
            controls=self.controls,
            recurrent=self._time is not None,
            structure=tuple(structure_of(self.task.model).items()),
            built=tuple(self._built.items()),
            baseline=math.nan if self.task.baseline is None else self.task.baseline,
            capabilities=self._capabilities,
        )

    def apply(self, command: Command) -> CommandApplied | CommandRejected:
        """Carry out a command between two optimizer steps.

        Never raises for a bad command: training goes on as before and the answer says why. Pausing,
        stopping and checking gradients are only noted here; whoever drives the trainer acts on them.

        Returns:
            The answer, with the first step that the command affects and the value applied.
        """
        step = self.step + 1
        try:
            controls = reduce(self.controls, command, self._capabilities)
            self._use(self.controls, controls)
            if isinstance(command, Reinit):
                self._reinits.reinit_(command.scheme, step=self.step)
                self._tap.meter.forget_stats()
            elif isinstance(command, UndoReinit):
                self._reinits.undo_()
                self._tap.meter.forget_stats()
        except ConfigError as error:
            return CommandRejected(step, command, str(error))
        return CommandApplied(step, as_applied(command, controls), controls)

    def _use(self, before: Controls | None, controls: Controls) -> None:
        """Bring everything from the controls ``before`` (None: as built) to ``controls``.

        What can be refused is asked first, so that a refusal leaves everything as it was.
        """
        if before is None or controls.precision != before.precision:
            self._precisions.require(controls.precision)
        require_optimizer(controls.optimizer, self.task.model)
        self._tap.controls = controls  # refuses layers to freeze that do not exist
        self._passes.set(before, controls)
        for name in STRUCTURE:
            wanted = getattr(controls, name)
            if wanted != (None if before is None else getattr(before, name)):
                set_structure_(self.task.model, name, self._built[name] if wanted is None else wanted)
        if controls.optimizer != (None if before is None else before.optimizer):
            self._tap.move_to(self._stepper.use(controls.optimizer))

    def advance(self) -> list[StepRecord]:
        """Train for one optimizer step, however many microbatches that takes.

        Returns:
            The records that arrived, oldest first, often none: steps that take little time are reported
            several at once, and on an accelerator, where nothing waits for the device, one step later.
            `finish` gives those that are still to come.
        """
        tap, optimizer = self._tap, self._stepper.optimizer
        tap.meter.begin()
        goal = tap.step + 1
        while tap.step < goal:
            try:
                batch = self.task.stream.next()
            except StopIteration:
                self._exhausted = True
                if tap.window_is_open:  # the last window is a short one
                    tap.close_window()
                    optimizer.step()
                return tap.records(wait=True)
            self._batch = batch
            optimizer.zero_grad(set_to_none=True)
            loss = self._passes.backward(batch)
            tap.microbatch(
                loss,
                num_tokens=batch.num_tokens,
                num_samples=batch.num_samples,
                loss_scale=self._passes.loss_scale,
                closes_window=batch.ends_epoch,
                extras=self._passes.extras,
            )
            optimizer.step()
        self._passes.stepped(skipped=tap.was_skipped)
        if self._time is not None:
            self._time.after_step(batch, step=tap.step, step_s=tap.meter.step_s)
        return tap.records()

    def train_step(self) -> StepRecord:
        """Train for one optimizer step and wait for its record.

        Raises:
            StopIteration: If the data has ended.
        """
        records = self.advance() + self._tap.records(wait=True)
        if not records:
            raise StopIteration("the training data has ended")
        return records[-1]

    def finish(self) -> list[StepRecord]:
        """Return the records of all steps that have not been reported, and wait for the device's."""
        return self._tap.records(wait=True)

    def stats(self) -> LayerStats:
        """The expensive statistics of every layer, each as old as the budget made it."""
        return self._tap.stats()

    def time_stats(self) -> TimeStats | None:
        """The gradient through time as measured last; None where there is none."""
        return None if self._time is None else self._time.stats()

    def check_gradients(self, on_progress: Callable[[int, int], None] | None = None) -> GradCheck:
        """Compare autograd with central differences, on the newest microbatch; changes nothing.

        Args:
            on_progress: Is told how many of how many entries have been compared.
        """
        task, batch = self.task, self._batch or peek(self.task)
        return check_gradients(
            task.model,
            lambda model: task.loss(task.forward(model, batch.inputs), batch.targets),
            self._tap.layers,
            on_progress=on_progress,
        )

    def validate(self) -> float | None:
        """Return the mean loss on the validation data; touches neither weights nor random state.

        None where the task has no validation data.
        """
        return self.task.validate()

    def close(self) -> None:
        """Take the hooks off the optimizer."""
        self._tap.remove()
