"""What somebody at a screen can do about a verdict: apply its remedy."""

from __future__ import annotations

from vgrad.controls.controls import Command, Resume
from vgrad.controls.wording import describe
from vgrad_tui.state.run_state import State


def remedy(state: State) -> tuple[Command, ...]:
    """What the remedy's key submits: the verdict's commands that have not been asked for.

    Then a run that waits because it is lost trains on.
    """
    commands = tuple(command for command in state.verdict.remedy if command not in state.pending)
    is_waiting = state.verdict.kind == "non-finite" and state.wanted.paused
    return (*commands, Resume()) if commands and is_waiting else commands


def commands_in_words(commands: tuple[Command, ...]) -> str:
    """Commands in a row: ``clip norm 1 + re-initialise torch + resume``."""
    return " + ".join(describe(command) for command in commands)
