"""Going on from a recorded run, in a run of its own: nothing of the recorded one is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vgrad.controls.controls import Resume
from vgrad.errors import ConfigError
from vgrad.events.run_info import Parent
from vgrad.run.rerun import config_of, environment_differences, rerun_, trainer_near
from vgrad.run.session import Session
from vgrad.store.run_record import Place, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.config import RunConfig
    from vgrad.store.folder import RunFolder
    from vgrad.train.trainer import Trainer


@dataclass(frozen=True, slots=True, eq=False)
class Resumption:
    """A recorded run, the moment in it to go on from, and the settings to go on with.

    Attributes:
        folder: The recorded run.
        record: Its record.
        place: The moment.
        at: The step that was asked for; None for the end of the record.
        config: Its settings, with the number of steps that is wanted now.
        keeps_pause: Whether a run that was paused stays so.
    """

    folder: RunFolder
    record: RunRecord
    place: Place
    at: int | None
    config: RunConfig
    keeps_pause: bool = False

    @classmethod
    def of(
        cls,
        folder: RunFolder,
        *,
        at: int | None = None,
        steps: int | None = None,
        keeps_pause: bool = False,
    ) -> Self:
        """Find out whether a run can be resumed, before anything is built.

        Args:
            folder: The run; no process trains it any more.
            at: Step to go on from, before the commands that were given after it; the end of the record,
                with all commands, unless given.
            steps: Optimizer steps to run in all; as many as the run had unless given.
            keeps_pause: Whether a run that was paused stays so.

        Raises:
            ConfigError: If it cannot be resumed there; says why.
            DataError: If its record cannot be read.
        """
        if folder.pid() is not None:
            raise ConfigError(f"the run {folder.name!r} is alive: stop it first, or send it rewind STEP")
        record = RunRecord.read(folder)
        record.info.capabilities.require("resume_run")
        config = config_of(record)
        place = record.last if at is None else place_to_go_back_to(record, at)
        num_steps = config.steps if steps is None else steps
        if num_steps is not None and place.step >= num_steps:
            raise ConfigError(f"{place.step:,} steps are done: to train on, give --steps with more than that")
        return cls(folder, record, place, at, config.model_copy(update={"steps": num_steps}), keeps_pause)

    @property
    def parent(self) -> Parent:
        """What the run that goes on is recorded to come from."""
        return Parent(self.folder.name, self.place.step)

    def session(self) -> Session:
        """A session that goes on from there, once it is started."""
        return Session(self.prepare, parent=self.parent)

    def prepare(self, say: Callable[[str], None]) -> Trainer:
        """Build a trainer in the state that the run was in at that moment.

        Steps between the last checkpoint and that moment are trained again.

        Raises:
            ConfigError: If that state cannot be reached bit for bit; says what differs.
        """
        say("importing torch")
        import torch  # noqa: F401  # it takes a few seconds, and `say` gives the reason

        say(f"building {self.config.name}")
        trainer, begin = trainer_near(self.folder, self.record, self.config, self.place)
        differences = environment_differences(self.record.info.environment, trainer.info().environment)
        if differences:
            say(f"the last bits may differ from {self.folder.name}: {'; '.join(differences)}")
        if begin != self.place:
            say(f"training steps {begin.step + 1:,} to {self.place.step:,} again")
            difference = rerun_(trainer, self.record, begin, self.place)
            if difference is not None:
                trainer.close()
                reasons = "; ".join([difference.words, *differences])
                raise ConfigError(
                    f"{self.folder.name} comes out otherwise at step {difference.step:,}: {reasons}"
                )
        if trainer.controls.paused and not self.keeps_pause:
            trainer.apply(Resume())
        return trainer


def place_to_go_back_to(record: RunRecord, step: int) -> Place:
    """The moment after ``step``.

    Raises:
        ConfigError: If the run has no such step.
    """
    first, last = record.first.step, record.last.step
    if not first <= step <= last:
        raise ConfigError(f"the run goes from step {first:,} to step {last:,}, and has no step {step:,}")
    return record.place_after(step)
