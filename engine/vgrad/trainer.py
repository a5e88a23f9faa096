"""The built-in loop: one optimizer step at a time. No threads, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.controls import Command, Controls, SetAccumulation, SetLrScale, reduce
from vgrad.errors import ConfigError
from vgrad.records import CommandApplied, CommandRejected, RunInfo
from vgrad.tap import Tap

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.recipes.task import Task
    from vgrad.records import LayerStats, StepRecord


class Trainer:
    """Trains a task, and changes how when told to.

    Use it from one thread. `vgrad.build` makes one from a recipe.

    Args:
        task: Model, optimizer and data.
        config: The run; its controls hold from the first step.
        description: One line of what the run shows.
    """

    def __init__(self, task: Task, config: RunConfig, description: str = "") -> None:
        self.task = task
        self.config = config
        self._tap = Tap(
            task.model, task.optimizer, controls=config.controls(), watch_budget=config.watch_budget
        )
        self._description = description
        self._exhausted = False

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

    def info(self) -> RunInfo:
        """What this run is."""
        return RunInfo(
            recipe=self.config.recipe,
            description=self._description,
            seed=self.config.seed,
            device=str(self._tap.layers.params[0].device),
            layers=self.layers,
            layer_sizes=self._tap.layers.sizes,
            unit=self.task.unit,
            num_steps=self.config.steps,
            controls=self.controls,
        )

    def apply(self, command: Command) -> CommandApplied | CommandRejected:
        """Carry out a command between two optimizer steps.

        Never raises for a bad command: training goes on and the answer says why. Pausing and
        stopping are only noted here; whoever drives the trainer acts on them.

        Returns:
            The answer, with the first step that the command affects and the value applied.
        """
        step = self.step + 1
        try:
            controls = reduce(self.controls, command)
        except ConfigError as error:
            return CommandRejected(step, command, str(error))
        self._tap.controls = controls
        return CommandApplied(step, _as_applied(command, controls), controls)

    def advance(self) -> list[StepRecord]:
        """Train for one optimizer step, however many microbatches that takes.

        Returns:
            The records that arrived: this step's on a CPU; on an accelerator, where nothing
            waits for the device, the one before. Empty at first, or once the data has ended.
        """
        tap, task = self._tap, self.task
        tap.begin()
        goal = tap.step + 1
        while tap.step < goal:
            try:
                batch = task.stream.next()
            except StopIteration:
                self._exhausted = True
                if tap.window_is_open:  # the last window is a short one
                    tap.close_window()
                    task.optimizer.step()
                return tap.records(wait=True)
            task.optimizer.zero_grad(set_to_none=True)
            loss = task.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
            tap.microbatch(
                loss,
                num_tokens=batch.num_tokens,
                num_samples=batch.num_samples,
                closes_window=batch.ends_epoch,
            )
            task.optimizer.step()
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
        """Wait for the records that are still on their way from an accelerator."""
        return self._tap.records(wait=True)

    def stats(self) -> LayerStats:
        """The dear statistics of every layer, each as old as the budget made it."""
        return self._tap.stats()

    def validate(self) -> float:
        """Return the mean loss on the validation data; touches neither weights nor random state."""
        return self.task.validate()

    def close(self) -> None:
        """Take the hooks off the optimizer."""
        self._tap.remove()


def _as_applied(command: Command, controls: Controls) -> Command:
    """The command with the values that were really applied, coerced as `reduce` did."""
    match command:
        case SetAccumulation():
            return SetAccumulation(controls.accumulation_steps)
        case SetLrScale():
            return SetLrScale(controls.lr_scale)
        case _:
            return command
