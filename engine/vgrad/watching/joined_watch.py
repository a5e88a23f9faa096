"""A watch of what is watched already: some parts of the watch that it joins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vgrad.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn
    from torch.optim import Optimizer

    from vgrad.controls.controls import Controls
    from vgrad.events.hub import Cursor
    from vgrad.events.notices import CommandApplied, CommandRejected
    from vgrad.events.step_record import StepRecord
    from vgrad.events.verdict import Verdict
    from vgrad.watching.earlier_part import EarlierPart
    from vgrad.watching.joinable import Joinable
    from vgrad.watching.part import WatchedPart
    from vgrad.watching.safe_point import Asked, CommandQueued
    from vgrad.watching.watch import CurrentLoss


class JoinedWatch(Watch):
    """The parts that a script has asked for, within a watch that is there already.

    That one is the watch of the whole process, or another of the script's own on the same optimizer. Each
    optimizer is watched and recorded once, and a command from outside takes effect once. What the script asks
    here is about its own parts alone, as in a watch of its own. When it is closed, its parts end, and an
    optimizer that is used after that is a part of the joined watch. When that one ends, so has this one.

    Args:
        joined: The watch that is there.
        loss: As in `Watch`.
        controls: As in `Watch`; unless given, the parts get those of the joined watch.
        watch_budget: As in `Watch`.
        on_verdict: As in `Watch`. The joined watch calls its own as well.
    """

    def __init__(
        self,
        joined: Joinable,
        *,
        loss: CurrentLoss | None = None,
        controls: Controls | None = None,
        watch_budget: float = 0.02,
        on_verdict: Callable[[Verdict], None] | None = None,
    ) -> None:
        whole = joined.watch
        super().__init__(
            whole.name,
            loss=loss,
            watch_budget=watch_budget,
            on_verdict=on_verdict,
            joins_midway=whole._joins_midway,
        )
        self._joined = joined
        self._whole = whole
        self._ids: set[int] = set()
        self._begins_with = whole._controls_of_new_parts if controls is None else controls
        self._hub, self._guard, self._steering = whole._hub, whole._guard, whole._steering
        self._totals, self._adding = whole._totals, whole._adding
        self._late, self._earlier = whole._late, whole._earlier
        self._cursor = whole.cursor(from_start=False)

    def add(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        *,
        is_kept: bool = True,
        after: EarlierPart | None = None,
    ) -> WatchedPart:
        """Watch one more optimizer, as `Watch.add` does. A part of the joined watch that has it ends."""
        self._joined.leave(optimizers)
        try:
            with self._adding:
                part = super().add(model, optimizers, is_kept=is_kept, after=after)
                self._whole._parts = (*self._whole._parts, self._parts[-1])
        except BaseException:
            self._joined.take_back(optimizers)
            raise
        self._ids.add(part.id)
        self._joined.part_added()
        return part

    @property
    def is_closed(self) -> bool:
        """Whether watching has ended."""
        return self._is_closed or self._whole.is_closed

    def records(self) -> list[StepRecord]:
        """Return all steps of its parts since the last call, as `Watch.records` does."""
        return [record for record in super().records() if record.part in self._ids]

    def cursor(self, *, from_start: bool = True) -> Cursor:
        """Another reader of the whole run."""
        return self._whole.cursor(from_start=from_start)

    def close(self, error: BaseException | None = None, *, message: str | None = None) -> None:
        """End watching these optimizers as the script has asked for it. Closing twice is harmless.

        Args:
            error: As in `Watch.close`; the run goes on, so nothing of it is recorded.
            message: Likewise.
        """
        if self._is_closed:
            return
        self.discard()
        for function in self._on_close:
            self._guard.call(function)

    def discard(self) -> None:
        """Take everything off these optimizers; what the parts have seen stays on the record."""
        super().discard()
        for part in self.parts:
            self._whole.remove(part)
            self._joined.take_back(part.optimizers)

    def _meant(self, part: int | None) -> tuple[int, ...]:
        return tuple(own.id for own in self.parts) if part is None else (part,)

    @property
    def _controls_of_new_parts(self) -> Controls:
        return self._begins_with

    def _ask(self, asked: Asked) -> CommandApplied | CommandRejected | CommandQueued:
        return self._whole._ask(replace(asked, refusal="watching has ended") if self._is_closed else asked)

    def _report(self, *, wait: bool = False) -> None:
        self._whole._report(wait=wait)

    def _tell_verdict(self, verdict: Verdict) -> None:
        super()._tell_verdict(verdict)
        self._whole._tell_verdict(verdict)
