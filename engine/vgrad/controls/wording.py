"""Commands in words, for the journal, the screen and the summary."""

from __future__ import annotations

from vgrad.controls.catalog import find_control, label
from vgrad.controls.controls import (
    CheckGradients,
    Pause,
    Reinit,
    Resume,
    Rewind,
    SaveCheckpoint,
    Set,
    StepOnce,
    Stop,
    UndoReinit,
)
from vgrad.controls.spoken import ALONE
from vgrad.errors import ConfigError
from vgrad.printable import printable
from vgrad.validation import brief

_PLAIN_WORDS: dict[type, str] = {
    Pause: "pause",
    Resume: "resume",
    StepOnce: "one step",
    Stop: "stop",
    UndoReinit: "undo re-initialise",
    CheckGradients: "gradient check",
    SaveCheckpoint: "checkpoint",
}


def describe(command: object) -> str:
    """Name a command in a few words: ``clip norm 1``, ``accumulate 4``, ``lr × 0.5``.

    Refused commands are described too, so the value may be anything.
    """
    match command:
        case Set(control=name, value=value):
            return _setting(name, value)
        case Reinit(scheme=scheme):
            return f"re-initialise {printable(brief(scheme).strip(chr(39)))}"
        case Rewind(step=step):
            return f"rewind to step {step:,}" if type(step) is int else printable(f"rewind to {brief(step)}")
        case _ if type(command) in _PLAIN_WORDS:
            return _PLAIN_WORDS[type(command)]
        case _:
            return printable(brief(command))


def describe_refusal(command: object, reason: str) -> str:
    """Name a command, once, and say why it was refused; some reasons begin with the command."""
    words = describe(command)
    names = (words, *(word for word, alone in ALONE.items() if alone == command))
    return reason if reason.startswith(tuple(f"{name}: " for name in names)) else f"{words}: {reason}"


def _setting(name: object, value: object) -> str:
    """The control and the value in its own words; the value as it stands where no control can read it."""
    try:
        control = find_control(name)
        return label(control.name, control.read(value))
    except ConfigError:
        return printable(f"{str(name)[:40]} {brief(value)}")
