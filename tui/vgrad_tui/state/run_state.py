"""What the screen shows, as a reducer of batches. Knows nothing of Textual.

A change is shown in three steps: *asked* when a key was pressed, and *applied at step N* or
*rejected* only when the engine has said so.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vgrad.controls.controls import CheckGradients, Command, Controls
from vgrad.controls.wording import describe
from vgrad.diagnose.command_effect import Effect
from vgrad.events.batch import Batch
from vgrad.events.history import History
from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import (
    Checking,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    Notice,
    Preparing,
    RunEnded,
    RunStarted,
    Validated,
    VerdictChanged,
)
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict
from vgrad.methods.precision import Float16
from vgrad_tui.state.last_change import LastChange
from vgrad_tui.state.pending_commands import PendingCommands, changes_training, topic
from vgrad_tui.state.recent_steps import Clipped, Noise, Speed

LOSS, GRAD_NORM, APPLIED_NORM, LR = range(4)

_LAYER_HISTORY_BYTES = 40 * 2**20
_MAX_JOURNAL = 10_000
_MAX_VALIDATIONS = 2_000
# Topics of commands after which the gradient is another one, and so is its noise.
_CHANGES_GRADIENT = {"accumulate", "weights", "precision", "activation", "skip", "layer_norm"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal."""

    step: int
    clock: str
    kind: Literal["asked", "applied", "rejected", "verdict", "run"]
    text: str


class State:
    """All that the screen shows. Belongs to the UI thread.

    Attributes:
        info: What the run is; None until it is ready.
        preparing: What it is waiting for until then.
        record: The newest step.
        controls: The controls that the engine has confirmed.
        applied_at: Step at which a command on each topic last took effect; topics are those of
            `vgrad_tui.state.pending_commands.topic`.
        rejected: The last answer, if it was a refusal.
        verdict: The newest verdict.
        stats: The newest statistics of the layers.
        time: The newest gradient through time, where the model has one.
        checking: How far a gradient check has come: entries done, and in all.
        checked: The newest gradient check.
        num_skipped: Steps that were dropped because their gradient was not finite.
        marks: Where commands took effect: step and label, oldest first.
        validations: Steps and losses of the validations, thinned out when they get many.
        journal: Every command and event, oldest first.
        ended: The last word, once training is over.
        num_dropped: Records that the screen was too slow for.
    """

    def __init__(self) -> None:
        self.info: RunInfo | None = None
        self.preparing = "importing torch"
        self.record: StepRecord | None = None
        self.controls = Controls()
        self.applied_at: dict[str, int] = {}
        self.rejected: CommandRejected | None = None
        self.verdict = Verdict("starting", "")
        self.stats: LayerStats | None = None
        self.time: TimeStats | None = None
        self.checking: Checking | None = None
        self.checked: GradientsChecked | None = None
        self.num_skipped = 0
        self.marks: deque[tuple[int, str]] = deque(maxlen=64)
        self.validations: list[tuple[int, float]] = []
        self.journal: deque[Entry] = deque(maxlen=_MAX_JOURNAL)
        self.ended: RunEnded | None = None
        self.num_dropped = 0
        self.scalars = History.sized(4, max_bytes=2 * 2**20)
        self.layers: History | None = None
        self.layer_sizes: NDArray[np.float64] = np.ones(0)
        self._asked = PendingCommands()
        self._speed = Speed()
        self._clipped = Clipped()
        self._noise = Noise()
        self._last_change = LastChange()

    # -- what was asked ----------------------------------------------------------------------

    @property
    def pending(self) -> tuple[Command, ...]:
        """Commands that were asked for and not yet answered, oldest first."""
        return self._asked.pending

    @property
    def wanted(self) -> Controls:
        """The controls as they will be once everything asked for has been applied."""
        return self._asked.wanted(self.controls)

    def ask(self, command: Command, command_id: str, *, undoable: bool = True) -> None:
        """Take note that ``command`` has been submitted, and that its answer will carry this id."""
        self._asked.add(command, command_id, self.controls, undoable=undoable)

    def pop_undo(self) -> Command | None:
        """The command that takes back the last change, or None."""
        return self._asked.pop_undo()

    def asked(self, about: str) -> Command | None:
        """The newest unanswered command on a topic, or None."""
        return self._asked.about(about)

    # -- what happened -----------------------------------------------------------------------

    def take(self, batch: Batch) -> None:
        """Fold a batch in."""
        for notice in batch.notices:
            self._take_notice(notice)
        self.num_dropped += batch.num_dropped
        for snapshot in batch.snapshots.values():
            self.stats = snapshot.stats or self.stats
            self.time = snapshot.time or self.time
            self.verdict = snapshot.verdict or self.verdict
        for block in batch.blocks:
            self._take_records(tuple(block.records()))

    def _take_records(self, records: tuple[StepRecord, ...]) -> None:
        steps = np.array([record.step for record in records], dtype=np.int64)
        values = [(r.loss_or_nan, r.grad_norm, r.applied_norm, r.lr) for r in records]
        self.scalars.extend(steps, np.array(values, dtype=np.float32))
        if self.layers is not None:
            self.layers.extend(steps, np.stack([record.grad_norms for record in records]))
        self.num_skipped += sum(record.skipped for record in records)
        self.record = records[-1]
        self._clipped.take(records)
        self._noise.take(records, self.controls)
        self._speed.take(records, tokens=self.info is not None and self.info.unit == "tokens")

    def _take_notice(self, notice: Notice) -> None:
        body = notice.body
        match body:
            case Preparing(what=what):
                self.preparing = what
                self._note("run", what)
            case RunStarted(info=info):
                self.info = info
                self.controls = info.controls
                self.layer_sizes = np.array(info.layer_sizes, dtype=np.float64)
                self.layers = History.sized(len(info.layers), max_bytes=_LAYER_HISTORY_BYTES)
                self._note("run", f"{info.recipe} started on {info.device}, seed {info.seed}")
            case CommandApplied():
                self._take_applied(body, notice.command_id)
            case CommandRejected():
                self._take_rejected(body, notice.command_id)
            case Validated(step=step, loss=loss):
                self.validations.append((step, loss))
                if len(self.validations) > _MAX_VALIDATIONS:
                    half = _MAX_VALIDATIONS // 2
                    self.validations[:half] = self.validations[:half:2]
            case Checking() | GradientsChecked():
                self._take_check(body)
            case VerdictChanged(step=step, verdict=verdict):
                self.verdict = verdict
                self._note("verdict", f"{verdict.kind}: {verdict.evidence}", step)
            case RunEnded(step=step, reason=reason, error=error):
                self.ended = body
                self._asked.forget()
                self.checking = None
                self._note("run", f"{reason}: {error}" if error else reason, step)

    def _take_check(self, notice: Checking | GradientsChecked) -> None:
        if isinstance(notice, Checking):
            self.checking = notice
            return
        self.checking, self.checked = None, notice
        self._note("run", f"gradient check: {notice.check.words()}", notice.step)

    def _take_applied(self, applied: CommandApplied, command_id: str | None) -> None:
        step, command, label = applied.step, applied.command, describe(applied.command)
        self._asked.applied(command_id)
        self.controls = applied.controls
        self.rejected = None
        self.applied_at[topic(command)] = step
        self._note("applied", f"{label}  @ {step:,}", step)
        if topic(command) == "clip":
            self._clipped.restart(step)
        if topic(command) in _CHANGES_GRADIENT:
            self._noise.restart(step)
        if changes_training(command):
            self.marks.append((step, label))
            self._last_change.restart(step, label)

    def _take_rejected(self, rejected: CommandRejected, command_id: str | None) -> None:
        self._asked.rejected(command_id)
        self.rejected = rejected
        if isinstance(rejected.command, CheckGradients):
            self.checking = None
        self._note("rejected", f"{describe(rejected.command)}: {rejected.reason}", rejected.step)

    def _note(self, kind: Literal["applied", "rejected", "verdict", "run"], text: str, step: int = 0) -> None:
        self.journal.append(Entry(step, time.strftime("%H:%M:%S"), kind, text))

    # -- what follows from it ----------------------------------------------------------------

    @property
    def phase(self) -> Literal["preparing", "training", "paused", "done", "stopped", "failed"]:
        """Where the run stands."""
        if self.ended is not None:
            return self.ended.reason
        if self.info is None:
            return "preparing"
        return "paused" if self.controls.paused else "training"

    @property
    def is_float16(self) -> bool:
        """Whether the passes compute in float16, where small gradients are rounded to zero."""
        return isinstance(self.controls.precision, Float16)

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return 0 if self.record is None else self.record.step

    def steps_per_s(self) -> float:
        """Recent optimizer steps per second of training, pauses left out; NaN at first."""
        return self._speed.steps_per_s()

    def items_per_s(self) -> float:
        """Recent tokens (or samples) per second; NaN at first."""
        return self._speed.items_per_s()

    def time_left_s(self) -> float:
        """Seconds until the last step at the recent speed; NaN when nobody knows."""
        if self.info is None or self.info.num_steps is None or self.ended is not None:
            return math.nan
        rate = self.steps_per_s()
        return (self.info.num_steps - self.step) / rate if rate > 0 else math.nan

    def clipping(self) -> tuple[float, float, float]:
        """Share of recent steps that were clipped, and the median norm before and after it."""
        return self._clipped.share_and_medians()

    def noise_scale(self) -> tuple[float, str]:
        """The gradient noise scale in samples, and where it is NaN, why it is undetermined."""
        return self._noise.value(self.wanted.accumulation_steps)

    def effect(self) -> tuple[str, Effect] | None:
        """What the last command did to the loss, or None if there was none."""
        return self._last_change.effect(self._losses, self.step)

    def _losses(self, start: int, stop: int) -> NDArray[np.float32]:
        """Losses of steps ``[start, stop)``, as many as were recorded."""
        buckets = self.scalars.window(start, stop, max(2, stop - start), [LOSS])
        losses: NDArray[np.float32] = buckets.mean[buckets.count > 0, 0]
        return losses
