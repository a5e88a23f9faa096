"""Carries out the commands for a watch: each at the safe point, on all parts that it is for or on none.

The safe point lies between two optimizer steps. A command that the training thread gives there is carried out
at once; every other one waits until the next step begins. Where several ranks train together, that is the
same step on every rank.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from vgrad.events.notices import CommandApplied
from vgrad.ranks.group import find_group
from vgrad.watching.command_on_parts import apply_to_parts
from vgrad.watching.hooks import is_inside_a_step
from vgrad.watching.other_ranks import OtherRanks
from vgrad.watching.safe_point import MOST_PER_STEP, Asked, CommandQueued, SafePoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.controls.controls import Controls
    from vgrad.events.hub import Hub
    from vgrad.events.notices import CommandRejected
    from vgrad.events.step_record import StepRecord
    from vgrad.watching.guard import Guard
    from vgrad.watching.part import WatchedPart


class Steered(Protocol):
    """A watch, as far as commands need it."""

    @property
    def parts(self) -> Sequence[WatchedPart]:
        """One for each optimizer that still exists."""

    @property
    def step(self) -> int:
        """Number of optimizer steps so far; of several optimizers, of the one with the most."""

    @property
    def is_closed(self) -> bool:
        """Whether watching has ended, so that every command is refused."""


class Steering:
    """The commands of one watch, and the beginning of every step, where those that wait are carried out.

    Args:
        watch: The watch.
        hub: Gets the answers.
        guard: Takes errors of ours that must not reach the loop.
        controls: What is done to the gradients of every part from its first step on.
        number: Number of the watch in this process, the same on all ranks of one training.
        joins_midway: As `Watch` takes it.

    Attributes:
        controls: What later parts begin with: those given, or those that the last command to all parts left.
    """

    def __init__(
        self,
        watch: Steered,
        hub: Hub,
        guard: Guard,
        *,
        controls: Controls,
        number: int,
        joins_midway: bool,
    ) -> None:
        self.controls = controls
        self._watch = watch
        self._hub = hub
        self._guard = guard
        self._number = number
        self._joins_midway = joins_midway
        self._safe_point = SafePoint()
        self._ranks: OtherRanks | None = None  # where it trains with others
        self._num_parts = 0  # that there have ever been
        self._num_begun = 0  # steps of all parts
        self._thread = threading.get_ident()

    @property
    def is_of_this_thread(self) -> bool:
        """Whether the thread that asks began the last step; or made the watch, if there was no step yet."""
        return threading.get_ident() == self._thread

    def follow(self, part: WatchedPart) -> None:
        """Carry out what waits whenever a step of ``part`` begins."""
        part.tap.on_boundary = partial(self._begin_step, part)
        part.on_records = self._observe
        self._num_parts = max(self._num_parts, part.id + 1)

    def put(self, asked: Asked) -> str:
        """Carry out a command as the next step begins; from any thread. Returns its id."""
        return self._safe_point.put(asked)

    def ask(self, asked: Asked) -> CommandApplied | CommandRejected | CommandQueued:
        """Carry out a command now, or as the next step begins."""
        if not self._watch.is_closed:
            if not self.is_of_this_thread or is_inside_a_step():
                return CommandQueued(self.put(asked))
            for each in self._watch.parts:
                each.tap.recover()
            if self._ranks is None:
                self.carry_out_waiting()  # in the order in which they were asked for
        return self._carry_out(asked)

    def carry_out_waiting(self, *, most: int | None = None) -> None:
        """Answer every command that waits now, or the oldest ``most`` of them."""
        for asked in self._safe_point.take_waiting(most=most):
            self._carry_out(asked)

    def leave_ranks(self, error: BaseException | None) -> str | None:
        """Tell the other ranks; what was wrong with them, where ``error`` ends this one."""
        if self._ranks is None:
            return None
        unanswered, why = self._ranks.leave(error)
        for asked in unanswered:
            self._carry_out(asked)
        return why

    def _begin_step(self, part: WatchedPart) -> None:
        """A step of ``part`` begins: the safe point."""
        self._thread = threading.get_ident()
        part.at_boundary()
        self._num_begun += 1
        if self._num_begun == 1:
            self._meet_ranks(part)
        if self._ranks is not None:
            for asked in self._ranks.begin_step(self._num_begun, part, self._safe_point):
                self._carry_out(asked)
        elif not self._safe_point.is_empty:
            self.carry_out_waiting(most=MOST_PER_STEP)

    def _meet_ranks(self, part: WatchedPart) -> None:
        """The first step begins: by now the process group is there, if there is to be one."""
        group = find_group(str(self._number))
        if group is not None:
            self._ranks = OtherRanks(group, part, self._hub, self._guard, joins_midway=self._joins_midway)

    def _observe(self, part: int, records: Sequence[StepRecord]) -> None:
        if self._ranks is not None:
            self._ranks.observe(part, records)

    def _carry_out(self, asked: Asked) -> CommandApplied | CommandRejected:
        """Apply a command to the parts that it is for, or to none of them, and say so over the hub."""
        if self._watch.is_closed:
            asked = replace(asked, refusal="watching has ended")
        parts = [part for part in self._watch.parts if asked.parts is None or part.id in asked.parts]
        answer = apply_to_parts(asked, parts, self._hub, self._watch.step + 1, num_parts=self._num_parts)
        if asked.parts is None and isinstance(answer, CommandApplied):
            self.controls = parts[-1].controls
        return answer
