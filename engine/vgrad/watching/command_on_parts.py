"""Applies a command to the parts of a run that it is for, all or none, and says so over the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.events.hub import Hub
    from vgrad.watching.part import WatchedPart
    from vgrad.watching.safe_point import Asked


def apply_to_parts(
    asked: Asked, parts: Sequence[WatchedPart], hub: Hub, step: int, *, num_parts: int
) -> CommandApplied | CommandRejected:
    """Carry out a command between two steps. Never raises for a bad one: the answer says why it is refused.

    Args:
        asked: The command.
        parts: The parts that it is for, of those that there still are.
        hub: Gets the answer, once for each part.
        step: The first step that it affects.
        num_parts: Parts that there have ever been, for the refusal.
    """
    try:
        _require_possible(asked, parts, num_parts)
        for part in parts:
            part.check(asked.command)
    except ConfigError as error:
        refusal = CommandRejected(step, asked.command, str(error))
        hub.notify(refusal, part=min(asked.parts or (0,)), command_id=asked.command_id)
        return refusal
    answers = [part.apply(asked.command) for part in parts]
    for part, answer in zip(parts, answers, strict=True):
        hub.notify(answer, part=part.id, command_id=asked.command_id)
    return answers[0]


def _require_possible(asked: Asked, parts: Sequence[WatchedPart], num_parts: int) -> None:
    if asked.refusal:
        raise ConfigError(asked.refusal)
    if not parts:
        raise ConfigError(f"there is no part {(asked.parts or (0,))[0]} of {num_parts}, from 0")
