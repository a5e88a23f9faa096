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

from vgrad.catalog import CLIP
from vgrad.controls import (
    CheckGradients,
    Command,
    Controls,
    Reinit,
    Set,
    UndoReinit,
    reduce,
)
from vgrad.effect import Effect, judge_effect
from vgrad.errors import ConfigError
from vgrad.history import History
from vgrad.noise_scale import MIN_OBSERVATIONS, NoiseScale
from vgrad.records import (
    Batch,
    Checking,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    LayerStats,
    Notice,
    Preparing,
    RunEnded,
    RunInfo,
    RunStarted,
    StepRecord,
    TimeStats,
    Validated,
    Verdict,
    VerdictChanged,
)
from vgrad.transforms.accumulate import SumOver
from vgrad.words import describe

LOSS, GRAD_NORM, APPLIED_NORM, LR = range(4)

_LAYER_HISTORY_BYTES = 40 * 2**20
_MAX_JOURNAL = 10_000
_MAX_VALIDATIONS = 2_000
_EFFECT_STEPS = 100  # length of the windows before and after a command
_FIRES_STEPS = 100  # recent steps that the share of clipped ones is taken over
# Topics of commands after which the gradient is another one, and so is its noise.
_CHANGES_GRADIENT = {"accumulate", "weights", "precision", "activation", "skip", "layer_norm"}
_RATE_S = 3.0  # recent seconds that speeds are taken over


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
        pending: Commands that were asked for and not yet answered, oldest first.
        applied_at: Step at which a command on each topic last took effect, see `topic`.
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
        self.pending: deque[Command] = deque()
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
        self._undo: deque[Command] = deque(maxlen=100)
        self._inverses: deque[Command | None] = deque()  # of each pending command
        self._noise = NoiseScale()
        self._noise_since = 0
        self._fires: deque[tuple[bool, float, float]] = deque(maxlen=_FIRES_STEPS)
        self._clip_since = 0
        self._pace: deque[tuple[float, int, int]] = deque()
        self._num_items = 0
        self._effect_of: tuple[int, str] | None = None
        self._effect_from = 1
        self._effect: Effect | None = None

    # -- what was asked ----------------------------------------------------------------------

    @property
    def wanted(self) -> Controls:
        """The controls as they will be once everything asked for has been applied."""
        controls = self.controls
        for command in self.pending:
            try:
                controls = reduce(controls, command)
            except ConfigError:
                continue  # will be rejected, and changes nothing
        return controls

    def ask(self, command: Command, *, undoable: bool = True) -> None:
        """Take note that ``command`` is being submitted."""
        inverse = _inverse(command, self.wanted) if undoable else None
        if inverse is not None:
            self._undo.append(inverse)
        self.pending.append(command)
        self._inverses.append(inverse)

    def pop_undo(self) -> Command | None:
        """The command that takes back the last change, or None."""
        return self._undo.pop() if self._undo else None

    def asked(self, about: str) -> Command | None:
        """The newest unanswered command on a topic, or None."""
        return next((command for command in reversed(self.pending) if topic(command) == about), None)

    # -- what happened -----------------------------------------------------------------------

    def take(self, batch: Batch) -> None:
        """Fold a batch in."""
        for notice in batch.notices:
            self._take_notice(notice)
        self.num_dropped += batch.num_dropped
        if batch.stats is not None:
            self.stats = batch.stats
        if batch.time is not None:
            self.time = batch.time
        if batch.verdict is not None:
            self.verdict = batch.verdict
        if batch.records:
            self._take_records(batch.records)

    def _take_records(self, records: tuple[StepRecord, ...]) -> None:
        steps = np.array([record.step for record in records], dtype=np.int64)
        values = [(r.loss, r.grad_norm, r.applied_norm, r.lr) for r in records]
        self.scalars.extend(steps, np.array(values, dtype=np.float32))
        if self.layers is not None:
            self.layers.extend(steps, np.stack([record.grad_norms for record in records]))
        for record in records[-_FIRES_STEPS:]:
            if record.step < self._clip_since:
                continue  # made with other clipping than there is now
            before, after = _around_clip(record)
            # Rescaling by exactly 1 is no clipping; rounding alone cannot pass this.
            self._fires.append((abs(after - before) > 1e-6 * before, before, after))
        self.num_skipped += sum(record.skipped for record in records)
        for record in records:
            self._take_noise(record)
        tokens = self.info is not None and self.info.unit == "tokens"
        self._num_items += sum(r.num_tokens if tokens else r.num_samples for r in records)
        last = records[-1]
        self.record = last
        self._pace.append((last.elapsed_s, last.step, self._num_items))
        while len(self._pace) > 2 and last.elapsed_s - self._pace[1][0] > _RATE_S:
            self._pace.popleft()

    def _take_noise(self, record: StepRecord) -> None:
        k = record.num_microbatches
        if record.step < self._noise_since or record.num_samples % k:
            return  # of another gradient than there is now, or of unequal microbatches
        norm = record.grad_norm / k if isinstance(self.controls.accumulate, SumOver) else record.grad_norm
        self._noise.observe(record.microbatch_square, norm**2, k, record.num_samples // k)

    def _take_notice(self, notice: Notice) -> None:
        match notice:
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
                self._take_applied(notice)
            case CommandRejected():
                self._take_rejected(notice)
            case Validated(step=step, loss=loss):
                self.validations.append((step, loss))
                if len(self.validations) > _MAX_VALIDATIONS:
                    half = _MAX_VALIDATIONS // 2
                    self.validations[:half] = self.validations[:half:2]
            case Checking() | GradientsChecked():
                self._take_check(notice)
            case VerdictChanged(step=step, verdict=verdict):
                self.verdict = verdict
                self._note("verdict", f"{verdict.kind}: {verdict.evidence}", step)
            case RunEnded(step=step, reason=reason, error=error):
                self.ended = notice
                self.pending.clear()
                self._inverses.clear()
                self.checking = None
                self._note("run", f"{reason}: {error}" if error else reason, step)

    def _take_check(self, notice: Checking | GradientsChecked) -> None:
        if isinstance(notice, Checking):
            self.checking = notice
            return
        self.checking, self.checked = None, notice
        self._note("run", f"gradient check: {notice.check.words()}", notice.step)

    def _take_applied(self, applied: CommandApplied) -> None:
        step, command, label = applied.step, applied.command, describe(applied.command)
        self._answered()
        self.controls = applied.controls
        self.rejected = None
        self.applied_at[topic(command)] = step
        self._note("applied", f"{label}  @ {step:,}", step)
        if topic(command) == "clip":
            self._clip_since = step
            self._fires.clear()
        if topic(command) in _CHANGES_GRADIENT:
            self._noise, self._noise_since = NoiseScale(), step
        if _changes_training(command):
            self._effect_from = self._effect_of[0] if self._effect_of else 1
            self.marks.append((step, label))
            self._effect_of = (step, label)
            self._effect = None

    def _take_rejected(self, rejected: CommandRejected) -> None:
        inverse = self._answered()
        if inverse is not None and inverse in self._undo:  # the newest of its like: nothing was done
            del self._undo[-1 - list(reversed(self._undo)).index(inverse)]
        self.rejected = rejected
        self._note("rejected", f"{describe(rejected.command)}: {rejected.reason}", rejected.step)

    def _answered(self) -> Command | None:
        """Answers come in the order of the questions. Returns the command that would undo this one."""
        if not self.pending:
            return None
        self.pending.popleft()
        return self._inverses.popleft()

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
    def step(self) -> int:
        """Number of optimizer steps done."""
        return 0 if self.record is None else self.record.step

    def steps_per_s(self) -> float:
        """Recent optimizer steps per second of training, pauses left out; NaN at first."""
        return self._rate(1)

    def items_per_s(self) -> float:
        """Recent tokens (or samples) per second; NaN at first."""
        return self._rate(2)

    def _rate(self, index: Literal[1, 2]) -> float:
        if len(self._pace) < 2:
            return math.nan
        first, last = self._pace[0], self._pace[-1]
        seconds = last[0] - first[0]
        return (last[index] - first[index]) / seconds if seconds > 0 else math.nan

    def time_left_s(self) -> float:
        """Seconds until the last step at the recent speed; NaN when nobody knows."""
        if self.info is None or self.info.num_steps is None or self.ended is not None:
            return math.nan
        rate = self.steps_per_s()
        return (self.info.num_steps - self.step) / rate if rate > 0 else math.nan

    def clipping(self) -> tuple[float, float, float]:
        """Share of recent steps that were clipped, and the median norm before and after it."""
        if not self._fires:
            return math.nan, math.nan, math.nan
        fired, before, after = np.array(self._fires, dtype=np.float64).T
        return float(fired.mean()), float(np.median(before)), float(np.median(after))

    def noise_scale(self) -> tuple[float, str]:
        """The gradient noise scale in samples, and where it is NaN, why it is undetermined."""
        if self.wanted.accumulation_steps < 2:
            return math.nan, "accumulate at least 2"
        observed = self._noise.num_observations
        if observed < MIN_OBSERVATIONS:
            return math.nan, f"{MIN_OBSERVATIONS - observed} more steps"
        value = self._noise.value()
        return value, "the noise drowns the gradient" if math.isnan(value) else ""

    def effect(self) -> tuple[str, Effect] | None:
        """What the last command did to the loss, or None if there was none.

        The windows before and after it are of equal length, and the one before does not reach
        back beyond the change before: what that one did is not this one's. The answer stands
        once the later window is full.
        """
        if self._effect_of is None:
            return None
        step, label = self._effect_of
        if self._effect is not None:
            return label, self._effect
        length = min(_EFFECT_STEPS, step - self._effect_from)
        before = self._losses(step - length, step)
        after = self._losses(step, step + length)
        effect = judge_effect(before, after)
        if length and self.step >= step + length - 1:
            self._effect = effect
        return label, effect

    def _losses(self, start: int, stop: int) -> NDArray[np.float32]:
        """Losses of steps ``[start, stop)``, as many as were recorded."""
        buckets = self.scalars.window(start, stop, max(2, stop - start), [LOSS])
        losses: NDArray[np.float32] = buckets.mean[buckets.count > 0, 0]
        return losses


def _around_clip(record: StepRecord) -> tuple[float, float]:
    """Joint norm before and after clipping alone; equal where the chain has no such link."""
    if record.link_norms is None:
        return record.grad_norm, record.applied_norm
    norms = [record.grad_norm, *record.link_norms.tolist()]
    for position, text in enumerate(record.links):
        if text.startswith(f"{CLIP.title} "):
            return norms[position], norms[position + 1]
    return record.grad_norm, record.grad_norm


def topic(command: Command) -> str:
    """What a command is about: the name of a control, ``"run"``, ``"weights"`` or ``"check"``."""
    match command:
        case Set(control=name):
            return name
        case Reinit() | UndoReinit():
            return "weights"
        case CheckGradients():
            return "check"
        case _:
            return "run"


def _changes_training(command: Command) -> bool:
    return isinstance(command, Set | Reinit | UndoReinit)


def _inverse(command: Command, before: Controls) -> Command | None:
    """The command that restores ``before``; None where there is nothing to restore."""
    match command:
        case Set(control=name):
            return Set(name, getattr(before, name))
        case Reinit():
            return UndoReinit()
        case _:
            return None
