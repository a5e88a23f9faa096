"""Owns the worker thread and the safe point. The screen and headless runs both drive this."""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Self

from vgrad.controls.controls import CheckGradients, Command, Reinit, StepOnce, Stop, UndoReinit
from vgrad.errors import VgradError
from vgrad.events.notices import (
    Checking,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    Preparing,
    RunStarted,
    Validated,
    VerdictChanged,
)
from vgrad.events.outbox import Outbox
from vgrad.run.output import Output
from vgrad.run.totals import Totals

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.diagnose.judge import Judge
    from vgrad.events.batch import Batch
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_record import StepRecord
    from vgrad.train.trainer import Trainer

# At Python's exit, how long to wait for the current step without saying so.
_SILENT_WAIT_S = 10.0
_INTERRUPTED = 130

# A snapshot of all layers' statistics copies arrays: often enough for the eye is enough.
_STATS_EVERY_S = 0.25

Prepare = Callable[[Callable[[str], None]], "Trainer"]


class Session:
    """Trains in a worker thread, and takes commands between two optimizer steps.

    Nothing here blocks the caller but `join`. The last notice is always `RunEnded`.

    A script may end while a session trains: Python's exit then stops the session, waits until its
    current step is done, however long that takes, and skips the last validation. Ctrl-C during this
    wait ends the process at once, with exit code 130.

    Args:
        trainer: The trainer, or a function that builds it in the worker thread and says
            meanwhile what it is doing. From `start` on it belongs to that thread.

    Attributes:
        exception: What ended the training, once it has failed.
    """

    def __init__(self, trainer: Trainer | Prepare) -> None:
        self._trainer = trainer
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._outbox = Outbox()
        self._thread = threading.Thread(target=self._run, name="vgrad-training", daemon=True)
        self._tally = Totals()
        self._stats: LayerStats | None = None
        self._stats_at_s = 0.0
        self._judge: Judge
        self._judges_before: list[Judge] = []  # of the weights that can be brought back
        self._is_at_exit = False
        self.exception: BaseException | None = None

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """A session that also imports torch and builds its trainer in the worker thread."""

        def prepare(say: Callable[[str], None]) -> Trainer:
            say("importing torch")
            from vgrad.run.build import build

            say(f"building {config.recipe}")
            return build(config)

        return cls(prepare)

    def start(self) -> None:
        """Start training."""
        atexit.register(self._end_at_exit)
        self._thread.start()

    def submit(self, command: Command) -> None:
        """Ask for a command; its answer comes as a notice, with the step it took effect at."""
        self._commands.put(command)

    def drain(self) -> Batch:
        """Take everything that happened since the last drain. Never waits."""
        return self._outbox.drain()

    def stop(self) -> None:
        """Ask for the end at the next safe point."""
        self.submit(Stop())

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
        """The one place where the training thread catches: who watches must be told of any end."""
        try:
            trainer = self._trainer
            if callable(trainer):
                trainer = trainer(lambda what: self._outbox.notify(Preparing(what)))
                # Again, because callbacks run in reverse order: before those that torch has registered.
                atexit.register(self._end_at_exit)
            reason = self._train(trainer)
        except BaseException as error:  # noqa: BLE001  # it is reported, not hidden
            self.exception = error
            if isinstance(error, VgradError):  # its message says all that there is to say
                self._outbox.notify(self._tally.ended("failed", str(error)))
            else:
                line = f"{type(error).__name__}: {error}"
                self._outbox.notify(self._tally.ended("failed", line, traceback.format_exc()))
        else:
            self._outbox.notify(self._tally.ended(reason))
        finally:
            atexit.unregister(self._end_at_exit)  # which would keep the session alive

    def _train(self, trainer: Trainer) -> Literal["done", "stopped"]:
        from vgrad.diagnose.judge import Judge

        info = trainer.info()
        self._outbox.resize(len(info.layers))
        self._outbox.notify(RunStarted(info))
        self._judge = Judge(info)
        reason: Literal["done", "stopped"] = "stopped"
        try:
            while self._apply_pending(trainer):
                if trainer.step == info.num_steps or trainer.is_exhausted:
                    reason = "done"
                    break
                self._report(trainer.advance(), trainer)
                if self._validation_is_due(trainer):
                    self._report(trainer.finish(), trainer)
                    self._validate(trainer)
            self._report(trainer.finish(), trainer)
            if self._tally.validated_step < trainer.step and not self._is_at_exit:
                self._validate(trainer)
            self._outbox.publish(trainer.stats(), self._judge.verdict, trainer.time_stats())
        except BaseException:
            self._report(trainer.finish(), trainer)  # the steps before it were done
            raise
        finally:
            trainer.close()
        return reason

    def _apply_pending(self, trainer: Trainer) -> bool:
        """Apply what was asked for, between two optimizer steps. False means stop."""
        while not self._commands.empty() or trainer.controls.paused:
            # What comes next may take long, and concerns none of the steps so far.
            self._report(trainer.finish(), trainer)
            command = self._commands.get()  # this thread is the only reader
            answer = trainer.apply(command)
            if isinstance(command, CheckGradients) and isinstance(answer, CommandApplied):
                self._check_gradients(trainer, answer)
                continue
            self._outbox.notify(answer)
            match command:
                case Reinit() | UndoReinit() if isinstance(answer, CommandApplied):
                    self._change_judge(trainer.info(), has_old_weights=isinstance(command, UndoReinit))
                    self._stats = trainer.stats()
                    self._outbox.publish(self._stats, self._judge.verdict, trainer.time_stats())
                case Stop():
                    return False
                case StepOnce():
                    return True  # what was asked for after it comes after that step
        return True

    def _change_judge(self, info: RunInfo, *, has_old_weights: bool) -> None:
        """Other weights, another judge; who knew the old ones comes back with them."""
        from vgrad.diagnose.judge import Judge

        if has_old_weights:
            self._judge = self._judges_before.pop()
        else:
            self._judges_before.append(self._judge)
            self._judge = Judge(info)

    def _check_gradients(self, trainer: Trainer, answer: CommandApplied) -> None:
        """Make the check while training waits, and give ``answer`` after it, or say why there is none."""

        def say(done: int, total: int) -> None:
            self._outbox.notify(Checking(done, total))

        try:
            check = trainer.check_gradients(say)
        except Exception as error:  # noqa: BLE001  # it runs the model in float64, which may fail in any way
            kind = "" if isinstance(error, VgradError) else f"{type(error).__name__}: "
            self._outbox.notify(CommandRejected(answer.step, answer.command, f"{kind}{error}"))
        else:
            self._outbox.notify(answer)
            self._outbox.notify(GradientsChecked(trainer.step, check))

    def _report(self, records: Sequence[StepRecord], trainer: Trainer) -> None:
        for record in records:
            self._report_one(record, trainer)

    def _report_one(self, record: StepRecord, trainer: Trainer) -> None:
        self._outbox.put(record)
        self._tally.observe(record)
        now_s = time.perf_counter()
        stats, is_due = self._stats, now_s - self._stats_at_s > _STATS_EVERY_S
        if stats is None or is_due:
            self._stats_at_s = now_s
            stats = self._stats = trainer.stats()
        verdict = self._judge.observe(record, stats, trainer.controls, trainer.time_stats())
        if verdict is not None:
            self._outbox.notify(VerdictChanged(record.step, verdict))
        if verdict is not None or is_due:  # what was published before the change must not outlive it
            self._outbox.publish(stats, self._judge.verdict, trainer.time_stats())

    def _validation_is_due(self, trainer: Trainer) -> bool:
        every, step = trainer.config.eval_every, trainer.step
        return bool(every) and step % every == 0 and step > self._tally.validated_step

    def _validate(self, trainer: Trainer) -> None:
        begin = time.perf_counter()
        loss = trainer.validate()
        if loss is None:  # this task has no validation data
            return
        self._tally.validated(trainer.step, loss)
        self._outbox.notify(Validated(trainer.step, loss, time.perf_counter() - begin))
