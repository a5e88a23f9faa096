"""What was asked of the run and has not been answered, and what would take it back. Knows no screen."""

from __future__ import annotations

from collections import deque

from vgrad.controls.controls import CheckGradients, Command, Controls, Reinit, Set, UndoReinit, reduce
from vgrad.errors import ConfigError

_MOST_UNDO = 100


class PendingCommands:
    """Commands on their way to the engine, which answers them in the order in which they were asked.

    Attributes:
        pending: Commands that were asked for and not yet answered, oldest first.
    """

    def __init__(self) -> None:
        self.pending: deque[Command] = deque()
        self._inverses: deque[Command | None] = deque()  # of each pending command
        self._undo: deque[Command] = deque(maxlen=_MOST_UNDO)

    def wanted(self, controls: Controls) -> Controls:
        """``controls`` as they will be once everything asked for has been applied."""
        for command in self.pending:
            try:
                controls = reduce(controls, command)
            except ConfigError:
                continue  # will be rejected, and changes nothing
        return controls

    def add(self, command: Command, controls: Controls, *, undoable: bool) -> None:
        """Take note that ``command`` is being submitted to a run with these controls."""
        inverse = _inverse(command, self.wanted(controls)) if undoable else None
        if inverse is not None:
            self._undo.append(inverse)
        self.pending.append(command)
        self._inverses.append(inverse)

    def about(self, topic_: str) -> Command | None:
        """The newest unanswered command on a topic, or None."""
        return next((command for command in reversed(self.pending) if topic(command) == topic_), None)

    def pop_undo(self) -> Command | None:
        """The command that takes back the last change, or None."""
        return self._undo.pop() if self._undo else None

    def applied(self) -> None:
        """The oldest command was applied."""
        self._answered()

    def rejected(self) -> None:
        """The oldest command was refused: nothing was done, and there is nothing to take back."""
        inverse = self._answered()
        if inverse is not None and inverse in self._undo:  # the newest of its like
            del self._undo[-1 - list(reversed(self._undo)).index(inverse)]

    def _answered(self) -> Command | None:
        if not self.pending:
            return None
        self.pending.popleft()
        return self._inverses.popleft()

    def forget(self) -> None:
        """Nothing will be answered any more."""
        self.pending.clear()
        self._inverses.clear()


def topic(command: Command) -> str:
    """What a command is about: the name of a control, ``"run"``, ``"weights"`` or ``"check"``."""
    match command:
        case Set(control=name):
            return name
        case Reinit() | UndoReinit():
            return "weights"
        case CheckGradients():
            return "check"
        case _:
            return "run"


def changes_training(command: Command) -> bool:
    """Whether a command can change how the loss goes on."""
    return isinstance(command, Set | Reinit | UndoReinit)


def _inverse(command: Command, before: Controls) -> Command | None:
    """The command that restores ``before``; None where there is nothing to restore."""
    match command:
        case Set(control=name):
            return Set(name, getattr(before, name))
        case Reinit():
            return UndoReinit()
        case _:
            return None
