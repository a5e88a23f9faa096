"""What the engine reports besides steps: what happened, and when.

Each kind of event is a frozen value of its own; a `Notice` is the envelope that carries one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from vgrad.controls.controls import Command, Controls
from vgrad.events.run_info import RunInfo
from vgrad.events.verdict import Verdict
from vgrad.gradcheck.check import GradCheck


@dataclass(frozen=True, slots=True)
class Preparing:
    """The run is not ready yet; ``what`` says what it is waiting for."""

    what: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The model and the data are ready; the first step follows."""

    info: RunInfo


@dataclass(frozen=True, slots=True)
class CommandApplied:
    """A command took effect.

    Attributes:
        step: The first optimizer step that it affects; 0 before any step.
        command: The command, with the values that were really applied.
        controls: All controls from that step on.
    """

    step: int
    command: Command
    controls: Controls


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """A command was refused, and training went on as before."""

    step: int
    command: Command
    reason: str


@dataclass(frozen=True, slots=True)
class Validated:
    """Validation loss after optimizer step ``step``."""

    step: int
    loss: float
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Checking:
    """A gradient check is running, and training waits for it."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class GradientsChecked:
    """A gradient check has ended; ``step`` optimizer steps had been done."""

    step: int
    check: GradCheck


@dataclass(frozen=True, slots=True)
class VerdictChanged:
    """The verdict is another one from ``step`` on."""

    step: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class LayersChanged:
    """Parameters of an optimizer were added, replaced or unfrozen after ``step``; ``info`` has the layers."""

    step: int
    info: RunInfo


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    """Nothing is recorded any more, for the reason ``problem``; or, where that is None, it is again.

    Attributes:
        problem: Why nothing is recorded; None where it is.
        place: Where the run is kept, where that is not in the folder of all runs.
    """

    problem: str | None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class MetricsLogged:
    """The training loop has logged numbers of its own for ``step``, by name."""

    step: int
    metrics: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class LoopNoted:
    """Something about the training loop's own settings that a person should know, in words."""

    step: int
    text: str


@dataclass(frozen=True, slots=True)
class RankReported:
    """Something is wrong with one rank of a training over several processes.

    Attributes:
        step: Newest step of that rank, or the one at which it happened.
        rank: Its number.
        what: What is wrong, in words.
    """

    step: int
    rank: int
    what: str


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The run's whole state after ``step`` is on disk; it can be resumed from there.

    Attributes:
        step: Optimizer steps done.
        reason: Why it was saved: ``start time command asked end``.
        num_bytes: Size on disk.
        kept_bytes: Size of all checkpoints of the run that are kept now, this one included.
        kept_steps: Steps at which they were saved, oldest first; empty in records of before it was kept.
        max_bytes: What all of them may take; None for no limit.
        num_dropped: Older ones that were deleted now because they took more.
    """

    step: int
    reason: str
    num_bytes: int
    kept_bytes: int
    kept_steps: tuple[int, ...] = ()
    max_bytes: int | None = None
    num_dropped: int = 0


@dataclass(frozen=True, slots=True)
class CheckpointFailed:
    """No checkpoint could be saved after ``step``, and training went on."""

    step: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Training is over.

    Attributes:
        step: Number of optimizer steps that were done.
        reason: ``done`` (all steps), ``stopped`` (somebody asked), or ``failed``.
        loss_first: Training loss of the first step; None if there was none, or it is not known.
        loss_last: Training loss of the last step; None likewise.
        val_loss: Last validation loss, or None if it was never measured.
        steps_per_s: Optimizer steps per second of training, pauses and validation left out.
        error: One line of what went wrong, for ``failed``.
        traceback_text: The traceback, for ``failed``; None where ``error`` says all there is.
        message: One line of why it ended without an error before all its steps: the data ended, it was
            rewound, or the process that was attached to was released.
    """

    step: int
    reason: Literal["done", "stopped", "failed"]
    loss_first: float | None
    loss_last: float | None
    val_loss: float | None
    steps_per_s: float
    error: str | None = None
    traceback_text: str | None = None
    message: str | None = None


NoticeBody = (
    Preparing
    | RunStarted
    | CommandApplied
    | CommandRejected
    | Validated
    | Checking
    | GradientsChecked
    | VerdictChanged
    | LayersChanged
    | MetricsLogged
    | LoopNoted
    | RankReported
    | CheckpointSaved
    | CheckpointFailed
    | RecordingChanged
    | RunEnded
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of a run, with its place in the order of all.

    Attributes:
        sequence: Number among all notices of the run, from 0.
        time_s: When it happened in the engine, Unix time in seconds.
        step: The step that it belongs to; 0 before any.
        part: The part of the run that it is about.
        body: What happened.
        command_id: Id of the command that it answers, or None.
        sender: Who sent that command from another process, as they call themselves; None if nobody did.
    """

    sequence: int
    time_s: float
    step: int
    part: int
    body: NoticeBody
    command_id: str | None = None
    sender: str | None = None


def new_command_id() -> str:
    """An id that no other command has, in this process or in another one."""
    return os.urandom(8).hex()
