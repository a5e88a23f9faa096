"""How often the screen is drawn, within a budget of the UI thread's own time.

The UI thread and the training thread share Python's interpreter lock, so what the screen spends
a fast training loses. The screen therefore measures its own cost, as the probes do, and draws less
often where drawing is expensive: on a slow machine, or with much to draw.
"""

from __future__ import annotations

import time


class RefreshRate:
    """Intervals between refreshes.

    Args:
        frugal: For slow lines: draw seldom.

    Attributes:
        refreshes_per_chart: The chart is drawn with every so many refreshes, because it is the
            most expensive part to draw and to send.
        column_s: Seconds that a column of the sparklines may stand for, at least.
    """

    _SHARE = 0.02  # of one core, for all that the UI thread does

    def __init__(self, *, frugal: bool) -> None:
        self._shortest_s = 2.0 if frugal else 0.25
        self._longest_s = 4.0 if frugal else 1.0
        self.refreshes_per_chart = 8 if frugal else 4
        self.column_s = 10.0 if frugal else 1.0
        self._cost_s = 0.0
        self._spent_s = time.thread_time()
        self._until_chart = 0

    def chart_is_due(self) -> bool:
        """Whether the chart is drawn with this refresh. Call it once per refresh, from the UI thread."""
        self._until_chart -= 1
        return self._until_chart <= 0

    def chart_was_drawn(self) -> None:
        """The next chart is due in so many refreshes."""
        self._until_chart = self.refreshes_per_chart

    def next_interval_s(self) -> float:
        """Seconds until the next refresh. Call it once per refresh, from the UI thread."""
        spent_s = time.thread_time()
        cost_s, self._spent_s = spent_s - self._spent_s, spent_s
        # Smoothed over about one chart, so that the refreshes between two charts are even.
        self._cost_s += (cost_s - self._cost_s) / self.refreshes_per_chart
        return min(max(self._cost_s / self._SHARE, self._shortest_s), self._longest_s)
