"""Where commands wait until they can be carried out: between two optimizer steps."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vgrad.controls.controls import Command

MOST_PER_STEP = 16
"""Commands carried out before one step; the others wait for the next one, for threads may ask without end."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that somebody has asked for.

    Attributes:
        command_id: Its id, which the answer carries.
        command: The command.
        parts: The parts of the run that it is for, all or none of them; None for all that there are.
        refusal: Why it cannot be carried out; empty where it can.
    """

    command_id: str
    command: Command
    parts: tuple[int, ...] | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class CommandQueued:
    """A command from another thread waits for the next step; its answer is a notice with this id."""

    command_id: str


class SafePoint:
    """Takes commands from any thread; the training thread carries them out, in their order."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()

    def put(self, asked: Asked) -> str:
        """Ask for a command; returns its id."""
        self._asked.put(asked)
        return asked.command_id

    @property
    def is_empty(self) -> bool:
        """Whether nothing is waiting."""
        return self._asked.empty()

    def take_waiting(self, *, most: int | None = None) -> Iterator[Asked]:
        """Each command that waits now, the oldest first, in any thread and without waiting.

        Those asked for meanwhile are left for the next time: a thread that asks without end must not delay a
        step.

        Args:
            most: Take this many at most; None for all.
        """
        waiting = self._asked.qsize()
        for _ in range(waiting if most is None else min(waiting, most)):
            try:
                asked = self._asked.get_nowait()
            except queue.Empty:  # another thread has taken it, as when it ends watching
                return
            yield asked

    def take(self) -> Asked:
        """The oldest command; waits until there is one. For the training thread alone."""
        return self._asked.get()
