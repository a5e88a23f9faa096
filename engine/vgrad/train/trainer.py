"""The built-in loop: one optimizer step at a time. No threads, no I/O."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

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
from vgrad.diagnose.judges import Judges
from vgrad.errors import ConfigError, DataError
from vgrad.events.environment import Environment, find_environment
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.events.run_info import RunInfo
from vgrad.gradcheck.check import check_gradients
from vgrad.measure.hidden_gradients import is_recurrent
from vgrad.measure.through_time import ThroughTimeProbe
from vgrad.task.random_state import capture_random, restore_random_
from vgrad.task.task import peek
from vgrad.train.backward import Backward
from vgrad.train.controls_in_force import ControlsInForce
from vgrad.train.current_optimizer import CurrentOptimizer
from vgrad.train.model_parts import structure_of
from vgrad.train.reinit import MOST_UNDONE, Reinits
from vgrad.train.state import TrainerState, copied, run_in_common
from vgrad.train.state_holders import DAMAGED, StateHolders
from vgrad.watching.optimizer_tap import OptimizerTap
from vgrad.watching.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vgrad.config import RunConfig
    from vgrad.events.guesses import Guesses
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict
    from vgrad.gradcheck.check import GradCheck
    from vgrad.task import Microbatch, Task

KEEP_S = 0.1  # for which finished steps are kept back to be reported together: nobody can see that
# Of the budget, where a model is recurrent: its layers get the rest.
_TIME_SHARE = 0.5


class Trainer:
    """Trains a task; commands change how.

    Use it from one thread. `vgrad.build` makes one from a recipe.

    Args:
        task: Model, optimizer and data.
        config: The run.
        description: One line of what the run shows.
        controls: The controls of the first step; those of ``config`` unless given.

    Attributes:
        reporter: Judges every step, and reports it to a hub where it is given one.

    Raises:
        ConfigError: If the controls do not fit the model or its device.
    """

    def __init__(
        self, task: Task, config: RunConfig, description: str = "", controls: Controls | None = None
    ) -> None:
        self.task = task
        self.config = config
        self._description = description
        self._environment: Environment | None = None
        self._held: list[StepRecord] = []  # records that `capture` had to wait for
        self._exhausted = False
        self._batch: Microbatch | None = None
        self._time: ThroughTimeProbe | None = None
        budget = config.watch_budget
        if is_recurrent(task.model):
            self._time = ThroughTimeProbe(task, _TIME_SHARE * budget)
            budget *= 1 - _TIME_SHARE
        self._tap = OptimizerTap(
            task.model, task.optimizer, watch_budget=budget, seed=config.seed, keep_s=KEEP_S
        )
        try:
            self._begin(controls)
        except BaseException:
            self._tap.remove()
            raise

    def _begin(self, controls: Controls | None) -> None:
        """Make what is around the tap, and bring all of it to the first controls.

        Raises:
            ConfigError: If the controls do not fit the model or its device.
        """
        task, config = self.task, self.config
        self._backward = Backward(task, seed=config.seed)
        self._current_optimizer = CurrentOptimizer(task.optimizer, self._tap.layers.params)
        self._reinits = Reinits(task.model, self._current_optimizer, seed=config.seed)
        self._holders = StateHolders(
            task, self._tap, self._backward, self._current_optimizer, self._reinits, self._time
        )
        self._in_force = ControlsInForce(task, self._tap, self._backward, self._current_optimizer)
        controls = config.controls() if controls is None else controls
        require_usable(controls, self._in_force.capabilities)
        self._in_force.use(None, controls)
        self._judges = Judges(self.info(), MOST_UNDONE)
        self.reporter = Reporter(None, self._judges, self)
        self._tap.on_control_dropped = self.reporter.control_dropped

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

    @property
    def _run(self) -> dict[str, Any]:
        return run_in_common(self.config, self._device, self.task.optimizer)

    def info(self) -> RunInfo:
        """What this run is."""
        if self._environment is None:
            task_file = self.config.task_file
            self._environment = find_environment(
                self._device, self.config.text, None if task_file is None else task_file[0]
            )
        return RunInfo(
            recipe=self.config.name,
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
            built=tuple(self._in_force.built.items()),
            baseline=self.task.baseline,
            capabilities=self._in_force.capabilities,
            config=self.config.to_data(),
            environment=self._environment,
        )

    def apply(self, command: Command) -> CommandApplied | CommandRejected:
        """Carry out a command between two optimizer steps.

        Pending steps are finished first, for they are judged as they were made: with the controls and the
        weights so far. Their records come with the next ones. Never raises for a bad command: training goes
        on as before and the answer says why. Pausing, stopping and checking gradients are only noted here;
        the caller acts on them.

        Returns:
            The answer, with the first step that the command affects and the value applied.
        """
        self._held = self.finish()
        step = self.step + 1
        try:
            controls = reduce(self.controls, command, self._in_force.capabilities)
            self._in_force.use(self.controls, controls)
            if isinstance(command, Reinit):
                self._reinits.reinit_(command.scheme, step=self.step)
                self._forget_stats()
                self._judges.reinitialised()
            elif isinstance(command, UndoReinit):
                self._reinits.undo_()
                self._forget_stats()
                self._judges.undone()
        except ConfigError as error:
            return CommandRejected(step, command, str(error))
        return CommandApplied(step, as_applied(command, controls), controls)

    def _forget_stats(self) -> None:
        """The weights are others now; what was measured of them counts no more."""
        self._tap.meter.forget_stats()
        if self._time is not None:
            self._time.forget(self.step)

    def advance(self) -> list[StepRecord]:
        """Train for one optimizer step, however many microbatches that takes.

        Returns:
            The records that arrived, oldest first, often none: steps that take little time are reported
            several at once, and on an accelerator, where nothing waits for the device, one step later.
            `finish` gives those that are still to come.
        """
        tap, optimizer = self._tap, self._current_optimizer.optimizer
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
                return self.finish()
            self._batch = batch
            optimizer.zero_grad(set_to_none=True)
            loss = self._backward.run(batch)
            self._judges.forward_ended(goal, loss, partial(self._backward.origin_in_words, batch))
            tap.microbatch(
                loss,
                num_tokens=batch.num_tokens,
                num_samples=batch.num_samples,
                loss_scale=self._backward.loss_scale,
                closes_window=batch.ends_epoch,
                extras=self._backward.extras,
            )
            optimizer.step()
        self._backward.stepped(skipped=tap.was_skipped)
        if self._time is not None:
            self._time.after_step(batch, step=tap.step, step_s=tap.meter.step_s)
        return self._take_records(wait=False)

    def train_step(self) -> StepRecord:
        """Train for one optimizer step and wait for its record.

        Raises:
            StopIteration: If the data has ended.
        """
        records = self.advance() + self.finish()
        if not records:
            raise StopIteration("the training data has ended")
        return records[-1]

    def finish(self) -> list[StepRecord]:
        """Return the records of all steps that have not been reported, and wait for the device's."""
        return self._take_records(wait=True)

    def _take_records(self, *, wait: bool) -> list[StepRecord]:
        """Return the records that are due, judged and reported."""
        held, self._held = self._held, []
        records = self._tap.records(wait=wait)
        self.reporter.report(records)
        return held + records

    @property
    def verdict(self) -> Verdict:
        """The verdict on the steps whose records have been returned, with its newest evidence."""
        return self._judges.verdict

    @property
    def guesses(self) -> Guesses:
        """What constant predictions cost; not known where the task knows its baseline."""
        return self._backward.guesses

    def judged_at(self, step: int) -> tuple[LayerStats | None, TimeStats | None]:
        """What a verdict after step number ``step`` looks at; ask for one step after another."""
        through_time = None if self._time is None else self._time.stats_at(step)
        return self._tap.meter.judged_at(step), through_time

    def capture(self) -> TrainerState:
        """Return everything that decides how this run goes on, as a copy. Changes nothing.

        Pending steps are finished first; their records come with the next ones. The newest microbatch,
        which `check_gradients` takes, and how much watching has cost so far are not part of it.

        Raises:
            ConfigError: If the data can only be read on, so that its position cannot be captured.
        """
        self._held = self.finish()
        content = {
            "seed": self.config.seed,
            "is_exhausted": self._exhausted,
            **self._holders.capture(),
            "judges": self._judges.capture(),
            "random": capture_random(self._device),
        }
        return TrainerState(self._run, copied(content))

    def restore_(self, state: TrainerState) -> None:
        """Go on from ``state``, as the run did that it was captured from.

        Seed, controls and the global random state become those of the state, which can be restored again.
        Records of this trainer that have not been returned yet never are: they are of another course.

        Raises:
            ConfigError: If the state is of another version, recipe, option or model, or this device cannot
                carry out its controls; says what differs. Nothing is changed then.
            DataError: If it is not what `capture` returned. Nothing is changed then.
        """
        if not isinstance(state, TrainerState):
            raise DataError(f"a state is what capture() returned, and not a {type(state).__name__}")
        state.require_same_run(self._run)
        self._in_force.require(self._holders.controls_in(state.content))
        before = self.capture()
        try:
            self._restore_(copied(state.content))
        except DAMAGED as error:
            self._restore_(copied(before.content))
            raise DataError(f"the state cannot be restored: {error}") from None
        self._held = []

    def _restore_(self, content: Mapping[str, Any]) -> None:
        self._holders.restore_(content)
        self.config = self.config.model_copy(update={"seed": content["seed"]})
        self._exhausted, self._batch = content["is_exhausted"], None
        self._judges.restore_(content["judges"], self.info())
        restore_random_(content["random"], self._device)

    def stats(self) -> LayerStats:
        """The expensive statistics of every layer, each as old as the budget made it."""
        return self._tap.stats()

    def time_stats(self) -> TimeStats | None:
        """The gradient through time as measured last; None where there is none."""
        return None if self._time is None else self._time.stats()

    def check_gradients(self, on_progress: Callable[[int, int], None] | None = None) -> GradCheck:
        """Compare autograd with central differences, on the newest microbatch; changes nothing.

        Args:
            on_progress: Called with how many entries have been compared, and of how many.
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

        None where the task has no validation data. The verdict takes it into account.
        """
        loss = self.task.validate()
        if loss is not None:
            self._judges.validated(self.step, loss)
        return loss

    def close(self) -> None:
        """Take the hooks off the optimizer."""
        self._tap.remove()
