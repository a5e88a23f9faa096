"""What a reader takes at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import NoticeBody
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """All that happened since the last drain.

    Attributes:
        records: Steps, oldest first; the newest always among them.
        notices: Notices, oldest first, none missing.
        stats: The newest statistics, or None if they have not changed.
        time: The newest gradient through time, or None if there is none.
        verdict: The verdict with its newest evidence, or None if that has not changed.
        num_dropped: Records that were lost because nobody drained in time.
    """

    records: tuple[StepRecord, ...] = ()
    notices: tuple[NoticeBody, ...] = ()
    stats: LayerStats | None = None
    verdict: Verdict | None = None
    num_dropped: int = field(default=0)
    time: TimeStats | None = None
