"""Makes a command take effect as one and the same step begins on every rank, without a collective.

Whoever has a command puts it into a slot of the group's store that no rank has reached yet. All ranks look
into the slots every few steps: by the count of their steps, never by the clock, so that all look before the
same step.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vgrad.controls.codec import command_from_data, command_to_data
from vgrad.controls.controls import NAMES
from vgrad.ranks.slots import Slots
from vgrad.watching.safe_point import MOST_PER_STEP, Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.ranks.group import RankGroup
    from vgrad.watching.safe_point import SafePoint

_LOOK_EVERY = 8
_LARGE = 10_000_000  # parameters from which on a step is so long that a look at each costs nothing
_MEETING_S = 10.0  # for which a rank may come later than the first command


class SameStep:
    """Says which commands are to be carried out as a step begins.

    Args:
        group: The process group.
        num_params: Parameters of the model, the same on every rank.
        why_not: Why no command can be carried out in this process; empty where it can.

    Attributes:
        unanswered: Commands of this rank that are waiting for their step.
        num_passed: Slots that this rank has looked into.
    """

    def __init__(self, group: RankGroup, num_params: int, *, why_not: str = "") -> None:
        self.unanswered: list[Asked] = []
        self.num_passed = 0
        self._group = group
        self._slots = Slots(group.store)
        self._every = 1 if num_params >= _LARGE else _LOOK_EVERY
        self._why_not = why_not
        self._began_s = time.monotonic()
        if not why_not:
            group.store.set(_here(group.rank), "1")

    def due(self, number: int, waiting: SafePoint) -> Sequence[Asked]:
        """The commands to carry out as step number ``number`` begins, each of which every rank gets there.

        Args:
            number: Steps that this watch has seen, this one included.
            waiting: What this rank has been asked for. It is put forward for one of the next steps.
        """
        found: list[Asked] = []
        try:
            if not self._why_not and number % self._every == 0:
                found = _read(self._slots.decide(number // self._every))
                self.num_passed = number // self._every
                answered = {asked.command_id for asked in found}
                self.unanswered = [each for each in self.unanswered if each.command_id not in answered]
            if not self._why_not and not waiting.is_empty:
                found += self._put_forward(number, waiting)
        except RuntimeError as error:  # the store is gone, and the process group with it
            self._why_not = f"the store of the process group cannot be reached: {error}"
        if self._why_not:
            waited, self.unanswered = self.unanswered, []
            found += _refused([*waited, *list(waiting.take_waiting())], self._why_not)
        return found

    def leave(self) -> None:
        """This rank is not watched any more."""
        with suppress(RuntimeError):
            self._group.store.delete_key(_here(self._group.rank))

    def _put_forward(self, number: int, waiting: SafePoint) -> list[Asked]:
        """Propose what is waiting, once all ranks will look; the refusals where some never came."""
        group = self._group
        missing = [rank for rank in range(group.size) if not group.store.check([_here(rank)])]
        if missing:
            has_waited = time.monotonic() - self._began_s > _MEETING_S
            return _refused(list(waiting.take_waiting()), _about(missing, group.size)) if has_waited else []
        taken = list(waiting.take_waiting(most=MOST_PER_STEP))
        asked = [each for each in taken if type(each.command) in NAMES]
        if asked:
            self._slots.propose(number // self._every + 1, _write(asked))
        self.unanswered += asked
        return [each for each in taken if type(each.command) not in NAMES]  # to be refused here, and now


def _about(missing: Sequence[int], size: int) -> str:
    who = f"rank {missing[0]}" if len(missing) == 1 else f"ranks {', '.join(map(str, missing))}"
    return (
        f"not watched: {who} of {size}. The command would change the other ranks alone, and their weights "
        "would drift apart"
    )


def _refused(asked: Sequence[Asked], reason: str) -> list[Asked]:
    return [replace(each, refusal=reason) for each in asked]


def _write(asked: Sequence[Asked]) -> str:
    return json.dumps([[each.command_id, command_to_data(each.command), each.parts] for each in asked])


def _read(text: str) -> list[Asked]:
    """What `_write` was given; a command that makes no sense will be refused as it is carried out."""
    entries: list[tuple[str, Any, list[int] | None]] = json.loads(text) if text else []
    return [
        Asked(command_id, command_from_data(data, refused=True), None if parts is None else tuple(parts))
        for command_id, data, parts in entries
    ]


def _here(rank: int) -> str:
    return f"here/{rank}"
