"""Proof of a recorded run: it is run again from its settings and its commands, and every loss compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.run.rerun import Difference, config_of, environment_differences, rerun_, trainer_at_start
from vgrad.store.run_record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.store.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Verified:
    """What running a run again has shown.

    Attributes:
        num_steps: Steps that came out as they are recorded.
        difference: The first that did not; None if all did.
        environment: What differs between where the run was recorded and here, each in words.
    """

    num_steps: int
    difference: Difference | None
    environment: tuple[str, ...]


def verify(folder: RunFolder, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Run a recorded run again as far as its record goes; nothing is recorded.

    Args:
        folder: The run, alive, ended or crashed.
        on_progress: Called with how many steps have been compared, and of how many.

    Raises:
        ConfigError: If it cannot be run again: by whom its loop is, or because its data or code changed.
        DataError: If its record cannot be read, or the state that it began from is gone.
    """
    record = RunRecord.read(folder)
    record.info.capabilities.require("verify")
    total, done = len(record.steps), 0
    on_progress(0, total)
    trainer = trainer_at_start(folder, record, config_of(record))

    def count(step: int) -> None:
        nonlocal done
        done += 1
        on_progress(done, total)

    try:
        environment = environment_differences(record.info.environment, trainer.info().environment)
        difference = rerun_(trainer, record, record.first, record.last, count)
    finally:
        trainer.close()
    return Verified(done, difference, tuple(environment))
