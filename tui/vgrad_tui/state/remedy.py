"""What somebody at a screen can do about a verdict: train no further, and apply the remedy.

A headless run has nobody to answer a pause, so the engine never pauses by itself.
"""

from __future__ import annotations

from vgrad.controls.controls import Command, Resume
from vgrad.controls.wording import describe
from vgrad.events.batch import Batch
from vgrad.events.notices import VerdictChanged
from vgrad_tui.state.run_state import State


def must_pause(batch: Batch, state: State) -> bool:
    """Whether the run became non-finite in ``batch``, which ``state`` has taken, and trains on.

    A run of NaN learns nothing any more. True once for each such verdict: who trains on is let be.
    """
    is_news = any(
        isinstance(notice, VerdictChanged) and notice.verdict.kind == "non-finite" for notice in batch.notices
    )
    is_lost = state.verdict.kind == "non-finite"
    return is_news and is_lost and state.phase == "training" and not state.wanted.paused


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
