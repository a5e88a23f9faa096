"""The hand-off from the training thread to whoever watches.

Records go through a bounded window, the oldest dropped and counted, so that a slow reader
costs history and never speed. Notices were promised, so none is ever dropped.
"""

from __future__ import annotations

import threading
from collections import deque

from vgrad.events.batch import Batch
from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import NoticeBody
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict

# What undrained records may hold of memory: beyond it the oldest go.
_MAX_BYTES = 8 * 2**20
_MAX_RECORDS = 4096


class Outbox:
    """Thread-safe; the engine puts and never waits, the reader drains and never waits.

    Args:
        num_layers: Length of a record's ``grad_norms``, which bounds how many records are kept.
    """

    def __init__(self, num_layers: int = 1) -> None:
        self._lock = threading.Lock()
        self._notices: list[NoticeBody] = []
        self._stats: LayerStats | None = None
        self._time: TimeStats | None = None
        self._verdict: Verdict | None = None
        self._num_dropped = 0
        self._records: deque[StepRecord] = deque()
        self.resize(num_layers)

    def resize(self, num_layers: int) -> None:
        """Fit the window to the number of layers, known once the model is built."""
        self._capacity = max(16, min(_MAX_RECORDS, _MAX_BYTES // (4 * max(1, num_layers))))

    def put(self, record: StepRecord) -> None:
        """Add a step; the oldest one goes when nobody has drained for long."""
        with self._lock:
            if len(self._records) >= self._capacity:
                self._records.popleft()
                self._num_dropped += 1
            self._records.append(record)

    def notify(self, notice: NoticeBody) -> None:
        """Add a notice; it stays until it is drained."""
        with self._lock:
            self._notices.append(notice)

    def publish(
        self, stats: LayerStats, verdict: Verdict | None = None, time: TimeStats | None = None
    ) -> None:
        """Replace the statistics and the verdict's evidence: only the newest are of use."""
        with self._lock:
            self._stats = stats
            self._verdict = verdict
            self._time = time

    def drain(self) -> Batch:
        """Take all that is there. Never blocks for longer than a put takes."""
        with self._lock:
            records, self._records = self._records, deque()
            notices, self._notices = self._notices, []
            stats, self._stats = self._stats, None
            verdict, self._verdict = self._verdict, None
            time, self._time = self._time, None
            num_dropped, self._num_dropped = self._num_dropped, 0
        return Batch(tuple(records), tuple(notices), stats, verdict, num_dropped, time)
