"""What a command is about, and whether training goes on differently after it."""

from __future__ import annotations

from vgrad.controls.controls import CheckGradients, Command, Reinit, Set, UndoReinit

# Topics of commands after which the gradient is another one, and so is its noise.
_CHANGES_GRADIENT = {"accumulate", "weights", "precision", "activation", "skip", "layer_norm"}


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


def changes_gradient(command: Command) -> bool:
    """Whether the gradient itself is another one after a command, before any transform."""
    return topic(command) in _CHANGES_GRADIENT
