"""What a watch does where its process is one of several that train together."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vgrad.ranks.collector import RankCollector
from vgrad.ranks.report import RankReport, end_key, heard_key
from vgrad.watching.local_gradients import LocalGradients
from vgrad.watching.optimizer_tap import OptimizerTap
from vgrad.watching.same_step import SameStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.events.hub import Hub
    from vgrad.events.step_record import StepRecord
    from vgrad.ranks.group import RankGroup
    from vgrad.watching.guard import Guard
    from vgrad.watching.part import WatchedPart
    from vgrad.watching.safe_point import Asked, SafePoint

_HEARD_S = 2.0
_MOST_WORDS = 500
_JOINED_MIDWAY = (
    "this is one of {} ranks, and was attached to while it trained: a command would change it alone, and the "
    "weights of the ranks would drift apart. Start all ranks with vgrad to steer them"
)


class OtherRanks:
    """Agrees with the other ranks on commands, and tells the first one how this one does.

    Args:
        group: The process group.
        part: The part whose step is the first; its numbers are reported.
        hub: Gets the numbers of all ranks, on the first one.
        guard: Takes errors of ours that must not reach the loop.
        joins_midway: Whether this rank is watched since the middle of its training, and others are perhaps
            not: then no command can be carried out.
    """

    def __init__(
        self, group: RankGroup, part: WatchedPart, hub: Hub, guard: Guard, *, joins_midway: bool = False
    ) -> None:
        layers = part.tap.layers
        self._group = group
        self._part = part.id
        why_not = _JOINED_MIDWAY.format(group.size) if joins_midway else ""
        self._same_step = SameStep(group, sum(layers.sizes), why_not=why_not)
        self._report = RankReport(group)
        self._is_lost = False
        # An optimizer that steps within the backward pass has no step that begins after it.
        is_after_backward = isinstance(part.tap, OptimizerTap)
        self._local = LocalGradients(
            layers.params if is_after_backward else (),
            guard,
            self._report.measured,
            self._report.not_finite,
        )
        self._collector = RankCollector(group, hub, self._num_passed) if group.rank == 0 else None

    def begin_step(self, number: int, part: WatchedPart, waiting: SafePoint) -> Sequence[Asked]:
        """A step begins; the commands to carry out before it, which are the same on every rank.

        Args:
            number: Steps that this watch has seen, this one included.
            part: The part that steps.
            waiting: What this rank has been asked for.
        """
        if part.id == self._part:
            self._local.at_step(part.step + 1)
        self._send()
        return self._same_step.due(number, waiting)

    def observe(self, part: int, records: Sequence[StepRecord]) -> None:
        """Take finished steps."""
        if part == self._part:
            self._report.observe(records)

    def leave(self, error: BaseException | None) -> tuple[Sequence[Asked], str | None]:
        """This rank is not watched any more.

        Args:
            error: What ended its training, if an error did. It is reported to the first rank, which gets a
                moment to record it: its own process may be ended for it.

        Returns:
            Commands that were never answered; and on the first rank, where an error has ended it, what was
            wrong with the others, in words.
        """
        self._local.close()
        self._same_step.leave()
        self._send(now=True)
        self._say_end(error)
        if self._collector is None:
            return self._same_step.unanswered, None
        self._collector.close()
        problems = self._collector.problems
        return self._same_step.unanswered, "\n".join(problems) if error is not None and problems else None

    def _num_passed(self) -> int:
        return self._same_step.num_passed

    def _send(self, *, now: bool = False) -> None:
        if not self._is_lost:
            try:
                self._report.send(now=now)
            except RuntimeError:  # the store is gone: nobody is there to read it
                self._is_lost = True

    def _say_end(self, error: BaseException | None) -> None:
        store, rank = self._group.store, self._group.rank
        words = ""  # the first rank's own end is that of the run
        if rank and error is not None and not isinstance(error, KeyboardInterrupt):
            words = f"{type(error).__name__}: {error}"[:_MOST_WORDS]
        end_s = time.monotonic() + _HEARD_S
        with suppress(RuntimeError):
            store.set(end_key(rank), words)
            while words and not store.check([heard_key(rank)]) and time.monotonic() < end_s:
                time.sleep(0.01)
