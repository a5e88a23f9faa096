"""Commands of this screen that the run has not answered yet, and the commands that undo. Knows no screen."""

from __future__ import annotations

from collections import deque

from vgrad.controls.capabilities import Capabilities
from vgrad.controls.controls import Command, Controls, Reinit, Set, UndoReinit, reduce
from vgrad.controls.topics import topic
from vgrad.errors import ConfigError

_MOST_UNDO = 100


class PendingCommands:
    """Commands of this screen that are on their way to the engine. Others may send commands, too."""

    def __init__(self) -> None:
        # By id, oldest first, each with the command that would take it back.
        self._by_id: dict[str, tuple[Command, Command | None]] = {}
        # Confirmed controls, and what they will be: asked for by every row of every frame, so kept.
        self._wanted: tuple[Controls, Controls] | None = None
        self._undo: deque[Command] = deque(maxlen=_MOST_UNDO)

    @property
    def pending(self) -> tuple[Command, ...]:
        """Commands that were asked for and not yet answered, oldest first."""
        return tuple(command for command, _ in self._by_id.values())

    def wanted(self, controls: Controls, capabilities: Capabilities) -> Controls:
        """``controls`` as they will be once the run has answered everything that it was asked for."""
        if self._wanted is None or self._wanted[0] is not controls:
            self._wanted = controls, self._applied_to(controls, capabilities)
        return self._wanted[1]

    def _applied_to(self, controls: Controls, capabilities: Capabilities) -> Controls:
        for command in self.pending:
            try:
                controls = reduce(controls, command, capabilities)
            except ConfigError:
                continue  # will be rejected, and changes nothing
        return controls

    def add(self, command: Command, command_id: str, wanted: Controls, *, undoable: bool) -> None:
        """Take note that ``command`` has been submitted while these controls were `wanted`."""
        inverse = _inverse(command, wanted) if undoable else None
        if inverse is not None:
            self._undo.append(inverse)
        self._by_id[command_id] = command, inverse
        self._wanted = None

    def on(self, topic_: str) -> Command | None:
        """The newest unanswered command on a topic, or None."""
        return next((command for command in reversed(self.pending) if topic(command) == topic_), None)

    def pop_undo(self) -> Command | None:
        """The command that takes back the last change, or None."""
        return self._undo.pop() if self._undo else None

    def applied(self, command_id: str | None) -> None:
        """A command was applied, perhaps somebody else's."""
        self._answered(command_id)

    def rejected(self, command_id: str | None) -> None:
        """A command was refused: nothing was done, and there is nothing to take back."""
        inverse = self._answered(command_id)
        if inverse is not None and inverse in self._undo:  # the newest of its like
            del self._undo[-1 - list(reversed(self._undo)).index(inverse)]

    def _answered(self, command_id: str | None) -> Command | None:
        _, inverse = self._by_id.pop(command_id or "", (None, None))
        self._wanted = None
        return inverse

    def forget(self) -> None:
        """Nothing will be answered any more."""
        self._by_id.clear()
        self._wanted = None


def _inverse(command: Command, before: Controls) -> Command | None:
    """The command that restores ``before``; None where there is nothing to restore."""
    match command:
        case Set(control=name):
            return Set(name, getattr(before, name))
        case Reinit():
            return UndoReinit()
        case _:
            return None
