"""A command as words of a command line: ``clip norm:1``, ``pause``, ``reinit xavier``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.controls import (
    CheckGradients,
    Command,
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
from vgrad.errors import ConfigError
from vgrad.validation import brief, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_DIGITS = 18
ALONE: dict[str, Command] = {
    "pause": Pause(),
    "resume": Resume(),
    "step": StepOnce(),
    "stop": Stop(),
    "check": CheckGradients(),
    "undo-reinit": UndoReinit(),
    "checkpoint": SaveCheckpoint(),
}
"""The commands without a value, by the word that says them."""
WORDS = (*ALONE, "reinit", "rewind", *(name.replace("_", "-") for name in CONTROLS))
"""What a spoken command may begin with."""


def read_command(words: Sequence[str]) -> Command:
    """The command that ``words`` say.

    Raises:
        ConfigError: If they say none; says which there are.
    """
    if not words:
        raise ConfigError(f"say what to do: {', '.join(WORDS)}")
    first, rest = words[0].replace("_", "-"), words[1:]
    if first in ALONE:
        if rest:
            raise ConfigError(f"{first} stands alone, got {brief(' '.join(rest))} after it")
        return ALONE[first]
    if first not in WORDS:
        meant = did_you_mean(first, dict.fromkeys(WORDS))
        raise ConfigError(f"no command is called {brief(first)}{meant} (commands: {', '.join(WORDS)})")
    if len(rest) != 1:
        raise ConfigError(f"{first} takes one value, got {len(rest)}: see vgrad-tui controls")
    if first == "reinit":
        return Reinit(rest[0])
    if first == "rewind":
        digits = rest[0].replace(",", "").replace("_", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
            raise ConfigError(f"rewind takes the number of a step, got {brief(rest[0])}")
        return Rewind(int(digits))
    control = find_control(first)
    return Set(control.name, control.read(rest[0]))
