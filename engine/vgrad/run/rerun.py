"""Runs a recorded run again: the same steps, with its commands at their steps, each loss compared."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from vgrad.config import RunConfig
from vgrad.errors import ConfigError, DataError
from vgrad.events.notices import CommandRejected
from vgrad.store.checkpoints import Checkpoint, checkpoints_of
from vgrad.store.run_record import Place, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vgrad.events.environment import Environment
    from vgrad.events.step_record import StepRecord
    from vgrad.store.folder import RunFolder
    from vgrad.train.trainer import Trainer

# Other data or other code is another run; other versions may still give the same bits.
_MUST_BE_THE_SAME = ("text_sha256", "task_sha256")
_WORDS = {
    "text_sha256": "the text file",
    "task_sha256": "the task file",
    "git_commit": "git commit",
    "device_name": "device",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where running again and the record part.

    Attributes:
        step: The first step that differs.
        words: What differs.
    """

    step: int
    words: str


def config_of(record: RunRecord) -> RunConfig:
    """All settings of a recorded run.

    Raises:
        ConfigError: If it is a foreign loop's, or its settings are none that this vgrad knows.
    """
    if not record.info.config:
        raise ConfigError("the record has no settings: the run was made by another training loop")
    return RunConfig.make(**record.info.config)


def trainer_at_start(folder: RunFolder, record: RunRecord, config: RunConfig) -> Trainer:
    """Build the trainer of a recorded run as it was at its first step.

    Raises:
        DataError: If the run goes on from another one, and its first state is not there any more.
        ConfigError: If the run's data or code is not what it was; says which.
    """
    return _trainer_from(_checkpoint_at(folder, record.first) if record.info.parent else None, record, config)


def trainer_near(
    folder: RunFolder, record: RunRecord, config: RunConfig, place: Place
) -> tuple[Trainer, Place]:
    """Build the trainer of a recorded run at the last checkpoint up to ``place``, or at its start.

    Returns:
        The trainer, and where in the course of the run it stands.

    Raises:
        DataError: If no checkpoint can be read, and the run cannot be run from its start either.
        ConfigError: If the run's data or code is not what it was; says which.
    """
    usable = [
        each for each in checkpoints_of(folder)
        if each.step <= place.step and each.num_commands <= place.num_commands
    ]  # fmt: skip
    for checkpoint in reversed(usable):
        try:
            return _trainer_from(checkpoint, record, config), Place(*checkpoint.place)
        except DataError:  # damaged: an older one needs a few steps more
            continue
    return trainer_at_start(folder, record, config), record.first


def rerun_(
    trainer: Trainer,
    record: RunRecord,
    begin: Place,
    end: Place,
    on_step: Callable[[int], None] = lambda step: None,
) -> Difference | None:
    """Train from ``begin`` to ``end`` as the record has it.

    Args:
        trainer: Stands at ``begin``.
        record: The record.
        begin: Where to begin.
        end: Where to end.
        on_step: Called with each step that came out as it is recorded.

    Returns:
        The first difference; None if every loss is the same, bit for bit.
    """
    commands = deque(record.commands[begin.num_commands : end.num_commands])
    while True:
        while commands and commands[0].step <= trainer.step + 1:
            difference = _compare(trainer.finish(), record, on_step)
            answer = trainer.apply(commands.popleft().command)
            if difference is None and isinstance(answer, CommandRejected):
                difference = Difference(answer.step, f"a command is refused here: {answer.reason}")
            if difference is not None:
                return difference
        if trainer.step >= end.step or trainer.is_exhausted:
            break
        difference = _compare(trainer.advance(), record, on_step)
        if difference is not None:
            return difference
    difference = _compare(trainer.finish(), record, on_step)
    if difference is None and trainer.step < end.step:
        return Difference(trainer.step + 1, "the data ends before it here")
    return difference


def environment_differences(recorded: Environment | None, here: Environment | None) -> list[str]:
    """What differs between two environments, each in words."""
    if recorded is None or here is None:
        return []
    found = []
    for field in fields(recorded):
        then, now = getattr(recorded, field.name), getattr(here, field.name)
        if then != now:
            name = _WORDS.get(field.name, field.name)
            shown = "" if field.name in _MUST_BE_THE_SAME else f": {then} in the record, {now} here"
            found.append(f"{name}{shown or ' has changed'}")
    return found


def _checkpoint_at(folder: RunFolder, place: Place) -> Checkpoint:
    for checkpoint in checkpoints_of(folder):
        if checkpoint.place == place:
            return checkpoint
    raise DataError(f"the state that {folder.name} began from, after step {place.step:,}, is not there")


def _trainer_from(checkpoint: Checkpoint | None, record: RunRecord, config: RunConfig) -> Trainer:
    from vgrad.run.build import build

    state = None if checkpoint is None else checkpoint.load()
    trainer = build(config)
    try:
        _require_same_data(record.info.environment, trainer.info().environment)
        if state is not None:
            trainer.restore_(state)
    except BaseException:
        trainer.close()
        raise
    return trainer


def _require_same_data(recorded: Environment | None, here: Environment | None) -> None:
    if recorded is None or here is None:
        return
    changed = [_WORDS[name] for name in _MUST_BE_THE_SAME if getattr(recorded, name) != getattr(here, name)]
    if changed:
        raise ConfigError(f"{' and '.join(changed)} of the run changed since: put back what it was")


def _compare(
    records: Sequence[StepRecord], record: RunRecord, on_step: Callable[[int], None]
) -> Difference | None:
    for made in records:
        recorded = record.loss_of(made.step)
        if recorded is not None and (made.loss is None or made.loss.hex() != recorded.hex()):
            return Difference(made.step, f"its loss is {recorded!r} in the record and {made.loss!r} here")
        on_step(made.step)
    return None
