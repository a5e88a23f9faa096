"""`vgrad.watch`: watches and steers the gradients of a training loop that is not vgrad's."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from torch import Tensor, nn

from vgrad.controls.controls import Controls
from vgrad.diagnose.worst import worst
from vgrad.errors import ConfigError
from vgrad.events.hub import Cursor, Hub
from vgrad.events.notices import CommandApplied, CommandRejected, MetricsLogged, RunEnded, new_command_id
from vgrad.watching.guard import Guard
from vgrad.watching.hooks import is_inside_a_step
from vgrad.watching.part import WatchedPart
from vgrad.watching.safe_point import Asked, SafePoint
from vgrad.watching.unwrap import as_module, unwrap_optimizer

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from vgrad.controls.controls import Command
    from vgrad.events.step_record import StepRecord
    from vgrad.events.verdict import Verdict

_log = logging.getLogger("vgrad")

Models = nn.Module | Sequence[nn.Module] | Mapping[str, nn.Module]
CurrentLoss = Callable[[], Tensor | float | None]


@dataclass(frozen=True, slots=True)
class CommandQueued:
    """A command from another thread waits for the next step; its answer is a notice with this id."""

    command_id: str


def watch(
    model: Models,
    optimizer: object,
    *,
    loss: CurrentLoss | None = None,
    name: str | None = None,
    controls: Controls | None = None,
    watch_budget: float = 0.02,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> Watch:
    """Watch a training loop of your own from its next optimizer step on.

        w = vgrad.watch(model, optimizer)

    The loop stays as it is. While no control is on, its weights are bit for bit what they are without.
    Nothing of this raises into the loop: after an error inside vgrad, watching ends and training goes on.

    Args:
        model: The model, or several: a sequence, or by name.
        optimizer: The optimizer, or a sequence of optimizers. Each is a part of the run, with layers and a
            verdict of its own; those with a single parameter, stepped in the backward pass, are one together.
        loss: Returns the loss of the step about to be done. Unless given, it is caught at ``backward``.
        name: What the run is called; the model's class unless given.
        controls: What is done to the gradients from the first step on; nothing unless given.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        on_verdict: Called in the training thread with each verdict of another kind than the one before.

    Returns:
        A `Watch`, which is also a context manager.

    Raises:
        ConfigError: If there is nothing to watch, or ``controls`` cannot be used in somebody's own loop.
    """
    return Watch(
        model,
        optimizer,
        loss=loss,
        name=name,
        controls=controls,
        watch_budget=watch_budget,
        on_verdict=on_verdict,
    )


class Watch:
    """A training loop under watch; `watch` makes one and says what the arguments are.

    Use it from the training thread; `apply` and `cursor` may be called from any.

    Attributes:
        name: What the run is called.
        parts: One for each optimizer.
    """

    def __init__(
        self,
        model: Models,
        optimizer: object,
        *,
        loss: CurrentLoss | None = None,
        name: str | None = None,
        controls: Controls | None = None,
        watch_budget: float = 0.02,
        on_verdict: Callable[[Verdict], None] | None = None,
    ) -> None:
        module = as_module(model)
        given = list(optimizer) if isinstance(optimizer, Sequence) else [optimizer]
        optimizers = [unwrap_optimizer(each) for each in given]
        if not optimizers:
            raise ConfigError("there is no optimizer to watch")
        self.name = name or type(model).__name__
        self._on_verdict = on_verdict
        self._hub = Hub()
        self._cursor = self._hub.cursor()
        self._safe_point = SafePoint()
        self._thread = threading.get_ident()
        self._is_closed = False
        self._guard = Guard(self.name, self.close)
        self.parts: tuple[WatchedPart, ...] = ()
        try:
            for group in _parts_of(optimizers):
                part = WatchedPart(
                    module,
                    group,
                    self._hub,
                    self._guard,
                    loss=loss,
                    controls=controls or Controls(),
                    watch_budget=watch_budget,
                    id=len(self.parts),
                    name=self.name,
                    on_verdict=self._tell_verdict,
                )
                part.tap.on_boundary = self._boundary_of(part)
                self.parts = (*self.parts, part)
        except BaseException:
            self._take_off()
            raise
        _open.add(self)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, those of one part after those of the other."""
        return tuple(name for part in self.parts for name in part.layers)

    @property
    def step(self) -> int:
        """Number of optimizer steps so far; of several optimizers, of the one with the most."""
        return max(part.step for part in self.parts)

    @property
    def verdict(self) -> Verdict:
        """The newest verdict; of several parts, the most serious one."""
        if threading.get_ident() == self._thread:
            self._report(wait=True)
        return worst(part.verdict for part in self.parts)

    @property
    def controls(self) -> Controls:
        """The controls of the first part."""
        return self.parts[0].controls

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

        Args:
            command: The command.
            part: The part that it is for; all parts unless given, and then all or none.
            command_id: Its id; a new one unless given.
        """
        if not self._is_closed:
            if threading.get_ident() != self._thread or is_inside_a_step():
                return CommandQueued(self._safe_point.submit(command, command_id=command_id, part=part))
            for each in self.parts:
                each.tap.recover()
            self._apply_asked()  # in the order in which they were asked for
        return self._carry_out(Asked(command_id or new_command_id(), command, part))

    def log(self, *, loss: Tensor | float | None = None, **metrics: Tensor | float) -> None:
        """Add to the step just done. Call it before the next step, and before `records` or `apply`.

        Args:
            loss: The loss of the step; it replaces the one that was caught.
            **metrics: Numbers of your own, by name.
        """
        if self._is_closed:
            return
        part = max(self.parts, key=lambda part: part.tap.meter.ended_s if part.step else 0.0)
        if loss is not None:
            part.tap.meter.correct_loss(loss)
        if metrics:
            numbers = tuple((name, float(value)) for name, value in metrics.items())
            self._hub.notify(MetricsLogged(part.step, numbers), part=part.id)

    def close(self) -> None:
        """End watching: the optimizer, and torch, are as if nobody had watched. Closing twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        _open.discard(self)
        self._take_off()
        self._report(wait=True)
        for part in self.parts:
            part.publish()
        self._hub.notify(self._ended())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_off(self) -> None:
        for part in self.parts:
            part.take_off()

    def _boundary_of(self, part: WatchedPart) -> Callable[[], None]:
        """What happens as a step of ``part`` begins: the safe point."""

        def boundary() -> None:
            self._thread = threading.get_ident()
            part.at_boundary()
            if not self._safe_point.is_empty:
                self._apply_asked()

        return boundary

    def _report(self, *, wait: bool = False) -> None:
        for part in self.parts:
            part.report(wait=wait)

    def _apply_asked(self) -> None:
        while not self._safe_point.is_empty:
            self._carry_out(self._safe_point.take())

    def _carry_out(self, asked: Asked) -> CommandApplied | CommandRejected:
        """Apply a command to the parts that it is for, or to none of them, and say so over the hub."""
        command, step = asked.command, self.step + 1
        parts = [part for part in self.parts if asked.part in {None, part.id}]
        try:
            self._require_parts(parts, asked.part)
            for part in parts:
                part.check(command)
        except ConfigError as error:
            refusal = CommandRejected(step, command, str(error))
            self._hub.notify(refusal, part=asked.part or 0, command_id=asked.command_id)
            return refusal
        answers = [part.apply(command) for part in parts]
        for part, answer in zip(parts, answers, strict=True):
            self._hub.notify(answer, part=part.id, command_id=asked.command_id)
        return answers[0]

    def _require_parts(self, parts: Sequence[WatchedPart], wanted: int | None) -> None:
        if self._is_closed:
            raise ConfigError("watching has ended")
        if not parts:
            raise ConfigError(f"there is no part {wanted}: there are {len(self.parts)}, from 0")

    def _tell_verdict(self, verdict: Verdict) -> None:
        if self._on_verdict is None:
            return
        try:
            self._on_verdict(verdict)
        except Exception:  # noqa: BLE001  # it runs inside the user's step
            _log.exception("on_verdict raised an error; training and watching go on")

    def _ended(self) -> RunEnded:
        totals, error = self.parts[0].totals, self._guard.error
        if error is None:
            return totals.ended("done")
        return totals.ended("failed", f"{type(error).__name__}: {error}")


def _parts_of(optimizers: Sequence[Optimizer]) -> Iterator[list[Optimizer]]:
    """The optimizers of each part: those of a single parameter step in turn and make one together."""
    single = [each for each in optimizers if sum(len(group["params"]) for group in each.param_groups) == 1]
    if len(single) > 1:
        yield single
    for each in optimizers:
        if len(single) <= 1 or each not in single:
            yield [each]


_open: weakref.WeakSet[Watch] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Report the last steps of what is still watched as Python exits."""
    for each in list(_open):
        each.close()
