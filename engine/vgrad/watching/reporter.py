"""From finished steps to what readers get: steps to blocks, the judge asked about each, the hub fed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from vgrad.controls.controls import Set
from vgrad.events.batch import Snapshot
from vgrad.events.notices import CommandApplied, CommandRejected, VerdictChanged
from vgrad.events.step_block import blocks_of

if TYPE_CHECKING:
    from vgrad.controls.controls import Controls
    from vgrad.diagnose.judge import Judge
    from vgrad.diagnose.judges import Judges
    from vgrad.events.guesses import Guesses
    from vgrad.events.hub import Hub
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict

# A snapshot copies the statistics of all layers: a reader cannot see that it is newer than this.
_PUBLISH_EVERY_S = 0.25


class Measured(Protocol):
    """What a reporter asks about the steps it reports."""

    @property
    def step(self) -> int:
        """Number of steps done so far."""

    @property
    def controls(self) -> Controls:
        """The controls that the steps were made with."""

    @property
    def guesses(self) -> Guesses:
        """What constant predictions cost, as far as the loss function shows it."""

    def judged_at(self, step: int) -> tuple[LayerStats | None, TimeStats | None]:
        """What had been measured for the verdicts, on a schedule of steps, up to step number ``step``."""

    def stats(self) -> LayerStats:
        """The newest statistics of the layers."""

    def time_stats(self) -> TimeStats | None:
        """The newest gradient through time; None where there is none."""


class Reporter:
    """Reports the steps of one part of a run. Belongs to the thread that trains.

    Args:
        hub: Gets the steps, the verdicts and the statistics; None where nobody reads them.
        judge: Is asked about every step.
        measured: Knows the controls and the statistics at any time.
        part: The part that the steps belong to.
        on_verdict: Is called with each verdict that differs in kind from the one before.

    Attributes:
        hub: As given; it may be assigned.
        judge: As given.
        on_verdict: As given; it may be assigned.
    """

    def __init__(
        self,
        hub: Hub | None,
        judge: Judge | Judges,
        measured: Measured,
        *,
        part: int = 0,
        on_verdict: Callable[[Verdict], None] | None = None,
    ) -> None:
        self.judge = judge
        self.hub = hub
        self.on_verdict = on_verdict
        self._measured = measured
        self._part = part
        self._published_s = 0.0

    def report(self, records: Sequence[StepRecord]) -> None:
        """Report finished steps, oldest first, before anything about the measured changes."""
        if self.hub is not None:
            for block in blocks_of(records):
                self.hub.put(block)
        is_news = self.judge_all(records)
        # What was published before a verdict changed must not outlive it.
        if records and (is_news or time.perf_counter() - self._published_s > _PUBLISH_EVERY_S):
            self.publish()

    def judge_all(self, records: Sequence[StepRecord]) -> bool:
        """Ask the judge about steps that the hub has; whether a verdict has changed."""
        is_news = False
        for record in records:
            stats, through_time = self._measured.judged_at(record.step)
            verdict = self.judge.observe(
                record, stats, self._measured.controls, through_time, self._measured.guesses
            )
            if verdict is not None:
                is_news = True
                self._tell(record.step, verdict)
        return is_news

    def control_dropped(self, name: str, reason: str) -> None:
        """Say that a control could not be carried out in the step under way and has been switched off."""
        if self.hub is None:
            return
        controls, step = self._measured.controls, self._measured.step + 1
        off = Set(name, getattr(controls, name))
        self.hub.notify(CommandRejected(step, off, reason), part=self._part)
        self.hub.notify(CommandApplied(step, off, controls), part=self._part)

    def publish(self) -> None:
        """Give readers the statistics and the verdict as they are now."""
        self._published_s = time.perf_counter()
        if self.hub is not None:
            snapshot = Snapshot(self._measured.stats(), self.judge.verdict, self._measured.time_stats())
            self.hub.publish(snapshot, part=self._part)

    def _tell(self, step: int, verdict: Verdict) -> None:
        if self.hub is not None:
            self.hub.notify(VerdictChanged(step, verdict), part=self._part)
        if self.on_verdict is not None:
            self.on_verdict(verdict)
