"""The learning rate: whether the optimizer or its schedule holds the run back on purpose."""

from __future__ import annotations

import math

from vgrad.diagnose.part import JudgePart

_HELD_BACK = 0.01  # of the largest rate so far
_FINISHED = 1e-6


class Rates(JudgePart):
    """Compares the rate with the largest one so far. A rate that is not known (NaN) says nothing.

    Of several groups of parameters the one with the largest rate counts: where the body's rate is zero and
    the head's is not, the run is not held back.

    Attributes:
        now: The newest rate.
        largest: The largest one so far; 0 at first.
    """

    def __init__(self) -> None:
        self.now = math.nan
        self.largest = 0.0

    def observe(self, base_lr: float) -> None:
        """Take the largest rate of one step into account, as the optimizer and its schedule set it."""
        self.now = base_lr
        self.largest = max(self.largest, base_lr)  # NaN is not larger

    @property
    def is_held_back(self) -> bool:
        """Whether the schedule has taken the rate to next to nothing."""
        return self.now <= _HELD_BACK * self.largest

    @property
    def is_finished(self) -> bool:
        """Whether the rate is zero, or as good as zero beside what it was."""
        return self.now <= _FINISHED * self.largest
