"""Watches and steers the gradients of a training loop that is not vgrad's; `vgrad.watch` makes a `Watch`."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Self

from torch import Tensor

from vgrad.controls.controls import Controls
from vgrad.diagnose.worst import worst
from vgrad.events.hub import Cursor, Hub
from vgrad.events.notices import CommandApplied, CommandRejected, MetricsLogged, RunEnded, new_command_id
from vgrad.events.step_block import blocks_of
from vgrad.events.totals import Totals
from vgrad.events.verdict import Verdict
from vgrad.watching import at_exit
from vgrad.watching.earlier_part import EarlierPart, EarlierParts
from vgrad.watching.guard import Guard
from vgrad.watching.hooks import run_deferred
from vgrad.watching.logged_numbers import LoggedNumbers
from vgrad.watching.part import WatchedPart
from vgrad.watching.safe_point import Asked, CommandQueued
from vgrad.watching.sharded_part import require_watched_ranks
from vgrad.watching.steering import Steering

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from vgrad.controls.controls import Command
    from vgrad.events.notices import NoticeBody
    from vgrad.events.step_record import StepRecord

_log = logging.getLogger("vgrad")
_numbers = count()  # of the watches of this process: ranks of one training make them in the same order

CurrentLoss = Callable[[], Tensor | float | None]


class Watch:
    """A training loop under watch; `vgrad.watch` makes one.

    Use it from the training thread; `apply` and `cursor` may be called from any.

    Args:
        name: What the run is called.
        loss: Returns the loss of the step about to be done. Unless given, it is caught at ``backward``.
        controls: What is done to the gradients of every part from its first step on.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        on_verdict: Called in the training thread with each verdict of another kind than the one before.
        joins_midway: Whether it begins in a process that has trained before: as one of several ranks, it then
            refuses commands.
    """

    def __init__(
        self,
        name: str,
        *,
        loss: CurrentLoss | None = None,
        controls: Controls | None = None,
        watch_budget: float = 0.02,
        on_verdict: Callable[[Verdict], None] | None = None,
        joins_midway: bool = False,
    ) -> None:
        self.name = name
        self._loss = loss
        self._watch_budget = watch_budget
        self._on_verdict = on_verdict
        self._hub = Hub()
        self._cursor = self._hub.cursor()
        self._logged = LoggedNumbers()
        self._joins_midway = joins_midway
        self._number = next(_numbers)
        self._is_closed = False
        self._on_close: list[Callable[[], None]] = []
        self._guard = Guard(self.name, self.close)
        self._steering = Steering(
            self,
            self._hub,
            self._guard,
            controls=controls or Controls(),
            number=self._number,
            joins_midway=joins_midway,
        )
        self._parts: tuple[Callable[[], WatchedPart | None], ...] = ()
        self._most_steps = 0  # of the parts that are watched no more
        self._totals: list[Totals] = []
        self._adding = threading.RLock()  # several threads may train
        self._late: deque[EarlierPart] = deque()  # parts that are gone, whose last steps no reader has yet
        self._earlier = EarlierParts()
        at_exit.remember(self)

    def add(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        is_kept: bool = True,
        after: EarlierPart | None = None,
    ) -> WatchedPart:
        """Watch one more optimizer, or several of one parameter each, as a part of the run.

        Args:
            model: The model, or all models in one module.
            optimizers: The optimizer; several only if each has a single parameter.
            is_kept: Whether the watch keeps model and optimizers in memory. Otherwise the part belongs to
                its optimizers, and goes with them when nobody else holds them.
            after: The part that it goes on from, see `take_earlier`.

        Raises:
            ConfigError: If it cannot be watched, or the controls cannot be used on it.
        """
        with self._adding:
            number = len(self._totals) if after is None else after.id
            part = WatchedPart(
                model,
                optimizers,
                self._hub,
                self._guard,
                loss=self._loss,
                controls=self._controls_of_new_parts if after is None else after.controls,
                watch_budget=self._watch_budget,
                id=number,
                name=self.name,
                on_verdict=self._tell_verdict,
                require_ranks=partial(
                    require_watched_ranks, f"{self._number}/{number}", joins_midway=self._joins_midway
                ),
                after=after,
            )
            self._steering.follow(part)
            part.on_gone = self._late.append
            if after is None:
                self._totals.append(part.totals)
            self._parts = (*self._parts, (lambda: part) if is_kept else weakref.ref(part))
        return part

    def remove(self, part: WatchedPart) -> None:
        """Watch ``part`` no more. What it has seen stays on the record."""
        part.take_off()
        if not self._is_closed:
            self._report(wait=True)
            self._guard.call(part.publish)
        with self._adding:
            self._most_steps = max(self._most_steps, part.step)
            self._parts = tuple(ref for ref in self._parts if ref() is not part)

    def take_earlier(self, params: Sequence[Tensor]) -> EarlierPart | None:
        """What a part that is gone has left behind for another optimizer of ``params``; None if nothing."""
        self._report_late()
        return self._earlier.take(params)

    def on_close(self, function: Callable[[], None]) -> None:
        """Call ``function`` when watching has ended and everything has been reported."""
        self._on_close.append(function)

    @property
    def guard(self) -> Guard:
        """Takes errors of ours that must not reach the loop."""
        return self._guard

    @property
    def hub(self) -> Hub:
        """What all readers read from; holding it does not hold the watch."""
        return self._hub

    @property
    def parts(self) -> tuple[WatchedPart, ...]:
        """One for each optimizer that still exists."""
        return tuple(part for ref in self._parts if (part := ref()) is not None)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, those of one part after those of the other."""
        return tuple(name for part in self.parts for name in part.layers)

    @property
    def step(self) -> int:
        """Number of optimizer steps so far; of several optimizers, of the one with the most.

        It never falls; an optimizer that another watch was given meanwhile counts from 0, as a new part.
        """
        return max((self._most_steps, *(part.step for part in self.parts)))

    @property
    def verdict(self) -> Verdict:
        """The newest verdict: of several parts the most serious one, where none is left that of the last."""
        if self.is_of_this_thread:
            self._report(wait=True)
        verdicts = [part.verdict for part in self.parts] or self._earlier.last_verdict()
        return worst(verdicts) if verdicts else Verdict("starting", "")

    @property
    def controls(self) -> Controls:
        """The controls of the first part."""
        parts = self.parts
        return parts[0].controls if parts else self._controls_of_new_parts

    @property
    def is_of_this_thread(self) -> bool:
        """Whether the thread that asks began the last step; or made this watch, if there was no step yet."""
        return self._steering.is_of_this_thread

    @property
    def is_closed(self) -> bool:
        """Whether watching has ended."""
        return self._is_closed

    def records(self) -> list[StepRecord]:
        """Return all steps since the last call, the newest included, those of each part in order.

        Waits for the numbers of the newest step where they come from an accelerator. About 8 MB of steps
        are kept; of more than that the oldest are thinned.
        """
        self._report(wait=True)
        return [record for block in self._cursor.take().blocks for record in block.records()]

    def cursor(self, *, from_start: bool = True) -> Cursor:
        """Another reader of steps, notices and statistics, at its own pace; from any thread."""
        return self._hub.cursor(from_start=from_start)

    def apply(
        self, command: Command, *, part: int | None = None, command_id: str | None = None
    ) -> CommandApplied | CommandRejected | CommandQueued:
        """Carry out a command: `vgrad.Set` of what belongs to the gradients or the learning rate.

        In the training thread it is carried out at once, between two steps. From another thread, and inside
        a step, it waits for the next step. Never raises for a bad command: the answer says why.

        With several ranks, call it in the training thread of every rank, after the same step; from another
        thread, call it on one rank: the command takes effect at one of the next steps, the same on all.

        Args:
            command: The command.
            part: The part that it is for; all parts unless given, and then all or none.
            command_id: Its id; a new one unless given.
        """
        return self._ask(Asked(command_id or new_command_id(), command, self._meant(part)))

    def submit(self, command: Command, *, command_id: str | None = None, sender: str | None = None) -> str:
        """Ask for a command, which is carried out as the next step begins; from any thread. Returns its id.

        Args:
            command: The command.
            command_id: Its id; a new one unless given.
            sender: Who asks from another process; the answer says so.
        """
        command_id = command_id or new_command_id()
        if sender is not None:
            self._hub.sent_by(command_id, sender)
        return self._steering.put(Asked(command_id, command, self._meant(None)))

    def log(self, *, loss: Tensor | float | None = None, **metrics: Tensor | float) -> None:
        """Add to the step just done. Call it before the next step, and before `records` or `apply`.

        What is no number is left out, with a warning.

        Args:
            loss: The loss of the step; it replaces the one that was caught.
            **metrics: Numbers of your own, by name.
        """
        number = None if loss is None else self._logged.read("loss", loss)
        if number is not None and (part := self._stepped_last()) is not None:
            part.tap.meter.correct_loss(number)
            part.is_loss_logged = True
        if metrics:
            self.log_metrics(metrics)

    def log_metrics(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Add numbers of your own to the step just done; their names may be any text, or what has one."""
        part = self._stepped_last()
        if part is not None:
            read = ((str(name), self._logged.read(str(name), value)) for name, value in metrics.items())
            numbers = tuple((name, float(number)) for name, number in read if number is not None)
            self._hub.notify(MetricsLogged(part.step, numbers), part=part.id)

    def notify(self, body: NoticeBody) -> None:
        """Tell every reader what happened around the loop, as of its newest step."""
        self._hub.notify(body, step=max((totals.step for totals in self._totals), default=0))

    def _stepped_last(self) -> WatchedPart | None:
        if self.is_closed or not self.parts:
            return None
        return max(self.parts, key=lambda part: part.tap.meter.ended_s if part.step else 0.0)

    def close(self, error: BaseException | None = None, *, message: str | None = None) -> None:
        """End watching: the optimizer, and torch, are as if nobody had watched. Closing twice is harmless.

        Args:
            error: What ended the training, if an error did, for the record.
            message: One line of why watching ends although no error did, likewise.
        """
        if self._is_closed:
            run_deferred()  # an error inside a step has ended it, and the hooks waited for the step to end
            return
        parts, call = self.parts, self._guard.call  # each is done, whatever becomes of the others
        self.discard()
        self._report(wait=True)
        for part in parts:
            call(part.publish)
        why = call(lambda: self._steering.leave_ranks(error or self._guard.error))
        call(self._steering.carry_out_waiting)  # each is answered, if only by that watching has ended
        self._hub.notify(self._ended(error, why, message))
        for function in self._on_close:
            call(function)
        run_deferred()  # within a step, hooks go right after it: no backward pass is looked at any more

    def discard(self) -> None:
        """Take everything off, and report nothing more."""
        self._is_closed = True
        at_exit.forget(self)
        for part in self.parts:
            part.take_off()

    def report(self) -> None:
        """Report all finished steps now; from the training thread, between two steps."""
        self._report(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close(error)

    def _report(self, *, wait: bool = False) -> None:
        for part in self.parts:
            self._guard.call(partial(part.report, wait=wait))  # a device that has failed gives no numbers
        self._report_late()

    def _report_late(self) -> None:
        while self._late:
            part = self._late.popleft()
            self._most_steps = max(self._most_steps, part.step)
            self._earlier.add(part)
            for block in blocks_of(part.unjudged):
                self._hub.put(block)

    def _meant(self, part: int | None) -> tuple[int, ...] | None:
        """The parts that a command is for which names ``part``, or none; None for all of the run."""
        return None if part is None else (part,)

    @property
    def _controls_of_new_parts(self) -> Controls:
        return self._steering.controls

    def _ask(self, asked: Asked) -> CommandApplied | CommandRejected | CommandQueued:
        return self._steering.ask(asked)

    def _tell_verdict(self, verdict: Verdict) -> None:
        if self._on_verdict is None:
            return
        try:
            self._on_verdict(verdict)
        except Exception:  # noqa: BLE001  # it runs inside the user's step
            _log.exception("on_verdict raised an error; training and watching go on")

    def _ended(self, error: BaseException | None, why: str | None, message: str | None) -> RunEnded:
        totals = max(self._totals, key=lambda each: each.step, default=Totals())
        error = error or self._guard.error
        if error is None:
            return totals.ended("done", message=message)
        if isinstance(error, KeyboardInterrupt):
            return totals.ended("stopped")
        return totals.ended("failed", f"{type(error).__name__}: {error}", message=why)
