"""From finished steps to what readers get: steps to blocks, the judge asked about each, the hub fed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from vgrad.events.batch import Snapshot
from vgrad.events.notices import VerdictChanged
from vgrad.events.step_block import blocks_of

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls
    from vgrad.diagnose.judge import Judge
    from vgrad.events.hub import Hub
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict

# A snapshot copies the statistics of all layers: more often than this, no eye sees it.
_STATS_EVERY_S = 0.25


class Measured(Protocol):
    """What a reporter asks about the steps it reports."""

    @property
    def controls(self) -> Controls:
        """The controls that the steps were made with."""

    def stats(self) -> LayerStats:
        """The newest statistics of the layers."""

    def time_stats(self) -> TimeStats | None:
        """The newest gradient through time; None where there is none."""


class Reporter:
    """Reports the steps of one part of a run. Belongs to the thread that trains.

    Args:
        hub: Gets the steps, the verdicts and the statistics.
        judge: Is asked about every step. Assign another one when the weights are others.
        measured: Knows the controls and the statistics at any time.
        part: The part that the steps belong to.
        on_verdict: Is called with each verdict that differs in kind from the one before.

    Attributes:
        judge: The judge that is asked.
    """

    def __init__(
        self,
        hub: Hub,
        judge: Judge,
        measured: Measured,
        *,
        part: int = 0,
        on_verdict: Callable[[Verdict], None] | None = None,
    ) -> None:
        self.judge = judge
        self._hub = hub
        self._measured = measured
        self._part = part
        self._on_verdict = on_verdict
        self._stats: LayerStats | None = None
        self._stats_at_s = 0.0

    def report(self, records: Sequence[StepRecord]) -> None:
        """Report finished steps, oldest first, before anything about the measured changes."""
        for block in blocks_of(records):
            self._hub.put(block)
        for record in records:
            self._judge(record)

    def publish(self) -> None:
        """Give readers the statistics and the verdict as they are now."""
        self._stats = self._measured.stats()
        self._publish(self._stats)

    def _judge(self, record: StepRecord) -> None:
        now_s = time.perf_counter()
        stats, is_due = self._stats, now_s - self._stats_at_s > _STATS_EVERY_S
        if stats is None or is_due or self.judge.looks_at(record.step):  # a verdict hangs on no clock
            self._stats_at_s = now_s
            stats = self._stats = self._measured.stats()
        verdict = self.judge.observe(record, stats, self._measured.controls, self._measured.time_stats())
        if verdict is not None:
            self._hub.notify(VerdictChanged(record.step, verdict), part=self._part)
            if self._on_verdict is not None:
                self._on_verdict(verdict)
        if verdict is not None or is_due:  # what was published before the change must not outlive it
            self._publish(stats)

    def _publish(self, stats: LayerStats) -> None:
        snapshot = Snapshot(stats, self.judge.verdict, self._measured.time_stats())
        self._hub.publish(snapshot, part=self._part)
