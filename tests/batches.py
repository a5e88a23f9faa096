"""Batches of a run's news to feed to whoever reads them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

from vgrad.events.batch import Batch, Snapshot
from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import Notice, NoticeBody
from vgrad.events.step_block import blocks_of
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict

_sequence = itertools.count()
_NOON = time.mktime((2026, 1, 2, 12, 0, 0, 0, 0, -1))  # local time, which is what screens show


def make_notice(body: NoticeBody, command_id: str | None = None, *, part: int = 0) -> Notice:
    """A notice of what happened, numbered after all others so far."""
    number = next(_sequence)
    return Notice(number, _NOON, getattr(body, "step", 0), part, body, command_id)


def make_batch(
    records: Iterable[StepRecord] = (),
    notices: Iterable[NoticeBody | Notice] = (),
    stats: LayerStats | None = None,
    verdict: Verdict | None = None,
    num_dropped: int = 0,
    time_stats: TimeStats | None = None,
) -> Batch:
    """These steps, events and statistics of part 0; what is no notice yet is put into one."""
    known = Snapshot(stats, verdict, time_stats)
    has_news = any(item is not None for item in (stats, verdict, time_stats))
    return Batch(
        blocks_of(records),
        tuple(body if isinstance(body, Notice) else make_notice(body) for body in notices),
        {0: known} if has_news else {},
        num_dropped,
    )
