"""What this rank says of itself to the first one, through the group's store."""

from __future__ import annotations

import math
import os
import platform
import time
from collections import deque
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from vgrad.events.rank_stats import RankStats, write_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.events.step_record import StepRecord
    from vgrad.ranks.group import RankGroup

_EVERY_S = 0.2
_NUM_RECENT = 50


class RankReport:
    """The newest numbers of this rank. Belongs to the training thread.

    Storing them is a message that no answer is waited for.

    Args:
        group: The process group.
    """

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self._stats = RankStats(group.rank, platform.node(), os.getpid())
        self._recent_s: deque[float] = deque(maxlen=_NUM_RECENT)
        self._measured: deque[tuple[int, float, float]] = deque(maxlen=4)
        self._not_finite: deque[int] = deque(maxlen=_NUM_RECENT)
        self._sent_s = -math.inf
        self._has_news = True

    def measured(self, step: int, local_norm: float, wait_s: float) -> None:
        """Take what was measured of the backward pass of a step; its record may come later, or have come.

        Args:
            step: Number of the step.
            local_norm: Joint norm of this rank's own gradient, multiplied as the loss was.
            wait_s: Seconds that the backward pass went on after the last of it.
        """
        self._measured.append((step, local_norm, wait_s))

    def not_finite(self, step: int) -> None:
        """Take it that the loss on this rank's own data, or its own gradient, was not finite in a step."""
        if step not in self._not_finite:
            self._not_finite.append(step)
            first = min(step, self._stats.first_non_finite or step)
            number = self._stats.num_non_finite + 1
            self._stats = replace(self._stats, num_non_finite=number, first_non_finite=first)

    def observe(self, records: Sequence[StepRecord]) -> None:
        """Take finished steps of the first part."""
        for record in records:
            self._recent_s.append(record.step_s)
            if record.loss is not None and not math.isfinite(record.loss):
                self.not_finite(record.step)
            while self._measured and self._measured[0][0] <= record.step:
                step, norm, wait_s = self._measured.popleft()
                norm /= record.loss_scale
                self._stats = replace(self._stats, measured_step=step, local_norm=norm, wait_s=wait_s)
                if not math.isfinite(norm):
                    self.not_finite(step)
        if records:
            last = records[-1]
            self._stats = replace(self._stats, step=last.step, loss=last.loss, grad_norm=last.grad_norm)
            self._has_news = True

    def send(self, *, now: bool = False) -> None:
        """Store what is new, a few times a second at most unless it is to be ``now``.

        Raises:
            RuntimeError: If the store is gone.
        """
        now_s = time.monotonic()
        if self._has_news and (now or now_s - self._sent_s >= _EVERY_S):
            self._sent_s = now_s
            self._has_news = False
            step_s = median(self._recent_s) if self._recent_s else 0.0
            stats = replace(self._stats, step_s=step_s)
            self._group.store.set(report_key(self._group.rank), write_ranks([stats]))


def report_key(rank: int) -> str:
    """Where the store holds what a rank says of itself."""
    return f"rank/{rank}"


def end_key(rank: int) -> str:
    """Where the store holds how a rank has ended."""
    return f"end/{rank}"


def heard_key(rank: int) -> str:
    """Where the first rank says that it has read that."""
    return f"heard/{rank}"
