"""What is known of one part of a run: its newest numbers, and its bounded history."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vgrad.controls.controls import Controls
from vgrad.controls.topics import changes_gradient, changes_training, topic
from vgrad.controls.wording import describe
from vgrad.diagnose.layer_marks import OK, mark_layers
from vgrad.events.history import History
from vgrad.events.notices import MetricsLogged, VerdictChanged
from vgrad.events.verdict import Verdict
from vgrad.run.last_change import LastChange
from vgrad.run.recent_steps import ClipShare, Noise, Speed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.diagnose.command_effect import Effect
    from vgrad.events.batch import LayerNorms, Snapshot
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.notices import CommandApplied
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_block import StepBlock
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats

_LOSS_BYTES = 2**20
_LAYER_BYTES = 40 * 2**20
_MAX_MARKS = 64


class PartHistory:
    """The fold of one part's steps and events.

    Attributes:
        info: What it is; None until it has started.
        controls: The controls that the engine has confirmed.
        applied_at: Step at which a command on each topic last took effect, see `vgrad.controls.topics`.
        marks: Where commands took effect: step and label, oldest first.
        record: The newest step. Where it came without its norms per layer it has the newest that are known.
        verdict: The newest verdict.
        stats: The newest statistics of the layers.
        time: The newest gradient through time, where the model has one.
        metrics: The newest of each number that the training loop itself has logged, by name.
        num_skipped: Steps that were dropped because their gradient was not finite.
        losses: Loss of every step where it is known, bounded.
        layers: Gradient norms of every layer, bounded; None until the part has started.
        layer_sizes: Parameters per layer, float64 of shape ``(num_layers,)``.
        speed: How fast it trains.
    """

    def __init__(self) -> None:
        self.info: RunInfo | None = None
        self.controls = Controls()
        self.applied_at: dict[str, int] = {}
        self.marks: deque[tuple[int, str]] = deque(maxlen=_MAX_MARKS)
        self.record: StepRecord | None = None
        self.verdict = Verdict("starting", "")
        self.stats: LayerStats | None = None
        self.time: TimeStats | None = None
        self.metrics: dict[str, float] = {}
        self.num_skipped = 0
        self.losses = History.sized(1, max_bytes=_LOSS_BYTES)
        self.layers: History | None = None
        self.layer_sizes: NDArray[np.float64] = np.ones(0)
        self.speed = Speed()
        self._newest_norms: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._clip_share = ClipShare()
        self._noise = Noise()
        self._last_change = LastChange()

    def start(self, info: RunInfo) -> None:
        """Take in what the part is; its layers may differ from those before, in names or only in sizes."""
        if self.info is None or self.info.layers != info.layers:
            self.layers = History.sized(len(info.layers), max_bytes=_LAYER_BYTES)
            # The layers that the verdict names, and the newest norms, were those before.
            self.verdict = replace(self.verdict, layers=())
            self._newest_norms = np.full(len(info.layers), np.nan, dtype=np.float32)
            if self.record is not None:
                self.record = replace(self.record, grad_norms=self._newest_norms)
        self.info, self.controls = info, info.controls
        self.layer_sizes = np.array(info.layer_sizes, dtype=np.float64)
        self.stats = None

    def take(self, block: StepBlock) -> None:
        """Take in steps that were made with the controls so far."""
        known = block.loss_known
        self.losses.extend(block.step[known], block.loss[known, None])
        self._take_layers(block.step, block.grad_norms)
        self.num_skipped += int(block.skipped.sum())
        self.record = block.record(-1)
        if self.layers is not None:
            self.record = replace(self.record, grad_norms=self._newest_norms)
        self._clip_share.take(block)
        self._noise.take(block, self.controls)
        self.speed.take(block, tokens=self.info is not None and self.info.unit == "tokens")

    def take_layer_norms(self, norms: LayerNorms) -> None:
        """Take in norms per layer of steps whose other numbers come without them."""
        self._take_layers(norms.step, norms.grad_norms)

    def _take_layers(self, step: NDArray[np.int64], norms: NDArray[np.float32]) -> None:
        """Take in norms per layer; none, or those of other layers, change nothing."""
        if self.layers is not None and norms.shape[1] == self.layers.num_channels and len(step):
            self.layers.extend(step, norms)
            self._newest_norms = norms[-1]

    def take_snapshot(self, snapshot: Snapshot) -> None:
        """Take in what is known by now."""
        stats = snapshot.stats
        if stats is not None and len(stats.measured_step) == len(self.layer_sizes):
            self.stats = stats
        self.time = snapshot.time or self.time
        self.verdict = snapshot.verdict or self.verdict

    def take_news(self, news: VerdictChanged | MetricsLogged) -> None:
        """Take in another verdict, or numbers that the training loop has logged."""
        if isinstance(news, VerdictChanged):
            self.verdict = news.verdict
        else:
            self.metrics.update(news.metrics)

    def changed(self, applied: CommandApplied) -> None:
        """A command took effect."""
        step, command = applied.step, applied.command
        self.controls = applied.controls
        self.applied_at[topic(command)] = step
        if topic(command) == "clip":
            self._clip_share.restart(step)
        if changes_gradient(command):
            self._noise.restart(step)
        if changes_training(command):
            self.marks.append((step, describe(command)))
            self._last_change.restart(step, topic(command), describe(command))

    def clipping(self) -> tuple[float, float, float]:
        """Share of recent steps that were clipped, and the median norm before and after it; NaN at first."""
        return self._clip_share.share_and_medians()

    def noise_scale(self, accumulation_steps: int) -> tuple[float, str]:
        """The gradient noise scale in samples, and where it is NaN, why it is undetermined."""
        return self._noise.value(accumulation_steps)

    def effect(self) -> tuple[tuple[str, ...], Effect] | None:
        """The commands of the last change and what they did to the loss, or None if there were none."""
        return self._last_change.effect(self._losses, 0 if self.record is None else self.record.step)

    def layer_marks(self) -> NDArray[np.uint8]:
        """A mark for every layer, see `vgrad.diagnose.layer_marks`; empty before the first step.

        While no norm of these layers is known, none of them stands out.
        """
        if self.record is None or len(self.record.grad_norms) != len(self.layer_sizes):
            return np.zeros(0, dtype=np.uint8)
        if self.layers is None or self.layers.last_step < 0:
            return np.full(len(self.layer_sizes), OK, dtype=np.uint8)
        return mark_layers(self.record.grad_norms, self.layer_sizes, self.stats, self.verdict)

    def _losses(self, start: int, stop: int) -> NDArray[np.float32]:
        """Known losses of steps ``[start, stop)``, as many as were recorded."""
        buckets = self.losses.window(start, stop, max(2, stop - start))
        losses: NDArray[np.float32] = buckets.mean[buckets.count > 0, 0]
        return losses
