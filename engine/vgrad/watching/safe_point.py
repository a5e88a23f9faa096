"""Where commands wait until they can be carried out: between two optimizer steps."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.events.notices import new_command_id

if TYPE_CHECKING:
    from vgrad.controls.controls import Command


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that somebody has asked for.

    Attributes:
        command_id: Its id, which the answer carries.
        command: The command.
        part: The part of the run that it is for; None for all.
        refusal: Why it cannot be carried out; empty where it can.
    """

    command_id: str
    command: Command
    part: int | None = None
    refusal: str = ""


class SafePoint:
    """Takes commands from any thread; the training thread carries them out, in their order."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()

    def submit(self, command: Command, *, command_id: str | None = None, part: int | None = None) -> str:
        """Ask for a command; returns its id, a new one unless given."""
        asked = Asked(command_id or new_command_id(), command, part)
        self._asked.put(asked)
        return asked.command_id

    @property
    def is_empty(self) -> bool:
        """Whether nothing is waiting."""
        return self._asked.empty()

    def take(self) -> Asked:
        """The oldest command; waits until there is one. For the training thread alone."""
        return self._asked.get()
