"""A run in a worker thread, with the safe point between steps. Screens, headless runs and scripts use it."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from vgrad.controls.controls import (
    CheckGradients,
    Command,
    Pause,
    Reinit,
    Rewind,
    SaveCheckpoint,
    StepOnce,
    Stop,
    UndoReinit,
)
from vgrad.errors import VgradError
from vgrad.events.hub import Cursor, Hub
from vgrad.events.notices import (
    Checking,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    Preparing,
    RecordingChanged,
    RunEnded,
    RunStarted,
    Validated,
    new_command_id,
)
from vgrad.events.totals import Totals
from vgrad.run.attached_screen import AttachedScreen
from vgrad.run.checkpointing import Checkpointing
from vgrad.run.output import Output
from vgrad.run.task_file import traceback_of
from vgrad.store.run_record import first_loss
from vgrad.watching.safe_point import MOST_PER_STEP, Asked, SafePoint

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.events.batch import Batch
    from vgrad.events.run_info import Parent
    from vgrad.events.step_record import StepRecord
    from vgrad.events.verdict import Verdict
    from vgrad.store.folder import RunFolder
    from vgrad.train.trainer import Trainer

# At Python's exit, how long to wait for the current step without saying so.
_SILENT_WAIT_S = 10.0
_INTERRUPTED = 130

_DATA_ENDED = "the training data ended: a generator or an iterator cannot be started again"

Prepare = Callable[[Callable[[str], None]], "Trainer"]


class Session:
    """Trains in a worker thread, and takes commands between two optimizer steps.

    Nothing here blocks the caller but `join`. The last notice is always `RunEnded`. Any number of
    readers and clients may use it at the same time: `cursor` and `attach` give each its own view.

    A script may end while a session trains: Python's exit then stops the session, waits until its
    current step is done, however long that takes, and skips the last validation. Ctrl-C during this
    wait ends the process at once, with exit code 130.

    Args:
        trainer: The trainer, or a function that builds it in the worker thread and says
            meanwhile what it is doing. From `start` on it belongs to that thread.
        parent: The run that it goes on from.

    Attributes:
        exception: What ended the training, once it has failed.
        was_refused: Whether it failed before its trainer was built, for what was asked for makes no sense.
        rewound_to: The step that somebody has rewound it to, which ended it; None where nobody has.
        was_paused: Whether it was paused then.
        prepare_rewind: Called before it is rewound; where it raises `OSError` or `VgradError`, the rewind
            is refused for that reason.
        folder: Where its checkpoints go; None for none. It may be assigned before `start`.
    """

    def __init__(self, trainer: Trainer | Prepare, *, parent: Parent | None = None) -> None:
        self.folder: RunFolder | None = None
        self.rewound_to: int | None = None
        self.was_paused = False
        self.prepare_rewind: Callable[[], None] = lambda: None
        self._parent = parent
        self._trainer = trainer
        self._safe_point = SafePoint()
        self._hub = Hub()
        self._cursor = self._hub.cursor()
        self._thread = threading.Thread(target=self._run, name="vgrad-training", daemon=True)
        self._totals = Totals()
        self._is_at_exit = False
        self._ending = threading.Lock()
        self._has_reported_end = False
        self.exception: BaseException | None = None
        self.was_refused = False

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """A session that also imports torch and builds its trainer in the worker thread."""

        def prepare(say: Callable[[str], None]) -> Trainer:
            say("importing torch")
            from vgrad.run.build import build

            say(f"building {config.name}")
            return build(config)

        return cls(prepare)

    def start(self) -> None:
        """Start training."""
        atexit.register(self._end_at_exit)
        self._thread.start()

    def submit(self, command: Command, *, command_id: str | None = None, sender: str | None = None) -> str:
        """Ask for a command; its answer comes as a notice, with the step it took effect at.

        Args:
            command: The command.
            command_id: Id of the command; a new one unless given.
            sender: Who asks from another process; the answer says so.

        Returns:
            The id, which the answer carries, too.
        """
        command_id = command_id or new_command_id()
        if sender is not None:
            self._hub.sent_by(command_id, sender)
        return self._safe_point.put(Asked(command_id, command))

    def drain(self) -> Batch:
        """Take everything that happened since the last drain: the session's own cursor. Never waits."""
        return self._cursor.take()

    def cursor(self, *, from_start: bool = True, attended: bool = False) -> Cursor:
        """Another reader, at its own pace; see `vgrad.events.hub.Hub.cursor`."""
        return self._hub.cursor(from_start=from_start, attended=attended)

    def attach(self) -> AttachedScreen:
        """The session as a screen sees it. While it is open, a person can answer a pause."""
        return AttachedScreen(self, self._hub.cursor(attended=True))

    def recording_changed(self, problem: str | None, *, place: str | None = None) -> None:
        """Report that nothing is recorded any more, and why; None: that it is, perhaps in another place."""
        self._hub.notify(RecordingChanged(problem, place), step=self._totals.step)

    def stop(self) -> None:
        """Ask for the end at the next safe point."""
        self.submit(Stop())

    def leave(self) -> None:
        """Report that the run was stopped, if it has not ended: nobody waits for its thread any more.

        For a process that is about to end. `stop` comes before it, so that no further step begins.
        """
        self._report_end(self._totals.ended("stopped"))

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the worker thread; True once it has ended. False before it was started."""
        if self._thread.ident is None:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _end_at_exit(self) -> None:
        """End the training thread before Python shuts down: inside torch it would abort the process then."""
        self._is_at_exit = True
        self.stop()
        try:
            if not self.join(_SILENT_WAIT_S):
                waiting = "vgrad: the current step must end before Python can exit; Ctrl-C exits at once\n"
                Output(sys.stderr, "stderr").write(waiting)
                self.join()
        except KeyboardInterrupt:
            os._exit(_INTERRUPTED)

    def _run(self) -> None:
        """Catch whatever ends the training, here alone, so that every reader learns how the run ended."""
        try:
            trainer = self._trainer
            if callable(trainer):
                trainer = trainer(self._say)
                # Again, because callbacks run in reverse order: before those that torch has registered.
                atexit.register(self._end_at_exit)
            reason = self._train(trainer)
        except BaseException as error:  # noqa: BLE001  # it is reported, not hidden
            self.exception = error
            self.was_refused = isinstance(error, VgradError) and callable(trainer)
            if isinstance(error, VgradError):  # its message says all that there is to say
                self._report_end(self._totals.ended("failed", str(error)))
            else:
                line = f"{type(error).__name__}: {error}"
                self._report_end(self._totals.ended("failed", line, traceback_of(error)))
        else:
            message = _DATA_ENDED if reason == "done" and trainer.is_exhausted else None
            if self.rewound_to is not None:
                message = f"rewound to step {self.rewound_to:,}"
            self._report_end(self._totals.ended(reason, message=message))
        finally:
            atexit.unregister(self._end_at_exit)  # which would keep the session alive

    def _report_end(self, ended: RunEnded) -> None:
        """Report the end, which is reported once, and before it answer the commands that still wait."""
        with self._ending:
            if not self._has_reported_end:
                self._has_reported_end = True
                for asked in self._safe_point.take_waiting():
                    refused = CommandRejected(ended.step + 1, asked.command, "the run has ended")
                    self._hub.notify(refused, command_id=asked.command_id)
                self._hub.notify(ended)

    def _say(self, what: str) -> None:
        self._hub.notify(Preparing(what))

    def _train(self, trainer: Trainer) -> Literal["done", "stopped"]:
        info = replace(trainer.info(), parent=self._parent)
        self._hub.notify(RunStarted(info))
        self._checkpointing = Checkpointing(self.folder, self._hub)
        if self._parent is not None:
            self._totals.loss_first = first_loss(self._parent)
            self._checkpointing.save(trainer, "start")

        def pause_if_lost(verdict: Verdict) -> None:
            """Wait for somebody at a screen to decide: a run of NaN learns nothing any more.

            Called once per verdict, so that a user who resumes is not paused again.
            """
            if verdict.kind == "non-finite" and self._hub.is_attended and not trainer.controls.paused:
                self.submit(Pause())

        trainer.reporter.hub, trainer.reporter.on_verdict = self._hub, pause_if_lost
        reason: Literal["done", "stopped"] = "stopped"
        try:
            while self._apply_pending(trainer):
                if trainer.step == info.num_steps or trainer.is_exhausted:
                    reason = "done"
                    break
                self._checkpointing.look(trainer)
                self._report(trainer.advance())
                if self._validation_is_due(trainer):
                    self._report(trainer.finish())
                    self._validate(trainer)
            self._report(trainer.finish())
            self._save_and_validate(trainer)
            trainer.reporter.publish()
        except BaseException:
            self._report(trainer.finish())  # the steps before it were done
            raise
        finally:
            self._checkpointing.close()
            trainer.close()
        return reason

    def _save_and_validate(self, trainer: Trainer) -> None:
        """The last checkpoint and the last validation; where Python exits, nobody waits for them."""
        if self._is_at_exit:
            return
        # First the checkpoint: the person who ended the run may not wait for the validation.
        self._checkpointing.save(trainer, "end")
        if self.rewound_to is None and self._totals.validated_step < trainer.step:
            self._validate(trainer)

    def _apply_pending(self, trainer: Trainer) -> bool:
        """Apply what was asked for, between two optimizer steps. False means stop.

        A client that asks without end does not delay the steps: a bounded number of commands precedes each.
        """
        num_applied = 0
        while trainer.controls.paused or (not self._safe_point.is_empty and num_applied < MOST_PER_STEP):
            num_applied += 1
            # What comes next may take long, and concerns none of the steps so far.
            self._report(trainer.finish())
            asked = self._safe_point.take()
            command_id, command = asked.command_id, asked.command
            answer = self._answer(trainer, command)
            if isinstance(command, CheckGradients) and isinstance(answer, CommandApplied):
                self._check_gradients(trainer, answer, command_id)
                continue
            self._hub.notify(answer, command_id=command_id)
            match command:
                case Reinit() | UndoReinit() if isinstance(answer, CommandApplied):
                    trainer.reporter.publish()
                case Stop():
                    return False
                case Rewind() if self.rewound_to is not None:
                    return False
                case StepOnce():
                    return True  # what was asked for after it comes after that step
        return True

    def _answer(self, trainer: Trainer, command: Command) -> CommandApplied | CommandRejected:
        """Carry a command out, around the checkpoints that it needs."""
        if isinstance(command, SaveCheckpoint):
            problem = self._checkpointing.save(trainer, "asked")
            if problem is not None:
                return CommandRejected(trainer.step + 1, command, problem)
        if isinstance(command, Rewind):
            return self._rewind(trainer, command)
        self._checkpointing.before(trainer, command)
        answer = trainer.apply(command)
        self._checkpointing.answered(answer)
        return answer

    def _rewind(self, trainer: Trainer, command: Rewind) -> CommandApplied | CommandRejected:
        """End, so that a session of its own goes on from the earlier step, or say why that cannot be."""
        answer = trainer.apply(command)
        if isinstance(answer, CommandRejected):
            return answer
        first = 0 if self._parent is None else self._parent.step
        if self.folder is None:
            return CommandRejected(answer.step, command, "this run is not recorded, so it cannot be rewound")
        if not first <= command.step <= trainer.step:
            has = f"the run has the steps {first:,} to {trainer.step:,}"
            return CommandRejected(answer.step, command, has)
        try:
            self.prepare_rewind()
        except (VgradError, OSError) as error:
            return CommandRejected(answer.step, command, f"no folder can be made to go on in: {error}")
        self.rewound_to, self.was_paused = command.step, trainer.controls.paused
        return CommandApplied(command.step + 1, command, trainer.controls)

    def _check_gradients(self, trainer: Trainer, answer: CommandApplied, command_id: str) -> None:
        """Make the check while training waits, and give ``answer`` after it, or say why there is none."""

        def say(done: int, total: int) -> None:
            self._hub.notify(Checking(done, total), step=trainer.step, command_id=command_id)

        try:
            check = trainer.check_gradients(say)
        except Exception as error:  # noqa: BLE001  # it runs the model in float64, which may fail in any way
            kind = "" if isinstance(error, VgradError) else f"{type(error).__name__}: "
            refused = CommandRejected(answer.step, answer.command, f"{kind}{error}")
            self._hub.notify(refused, command_id=command_id)
        else:
            self._hub.notify(answer, command_id=command_id)
            self._hub.notify(GradientsChecked(trainer.step, check), command_id=command_id)

    def _report(self, records: Sequence[StepRecord]) -> None:
        for record in records:
            self._totals.observe(record)

    def _validation_is_due(self, trainer: Trainer) -> bool:
        every, step = trainer.config.eval_every, trainer.step
        return bool(every) and step % every == 0 and step > self._totals.validated_step

    def _validate(self, trainer: Trainer) -> None:
        begin = time.perf_counter()
        loss = trainer.validate()
        if loss is None:  # this task has no validation data
            return
        self._totals.validated(trainer.step, loss)
        self._hub.notify(Validated(trainer.step, loss, time.perf_counter() - begin))
