"""Takes what happened from the source while the app runs: a timer in the UI thread asks, no thread pushes.

What is left after the app has ended is taken by `vgrad_tui.launch`.
"""

from __future__ import annotations

from textual.message import Message
from textual.widget import Widget

from vgrad.events.batch import Batch
from vgrad_tui.app.refresh_rate import RefreshRate
from vgrad_tui.app.source import Source

# Soon after a command was submitted its answer is looked for, so that it is on the screen at once: each time
# after twice as long, for a step may take long.
_HURRY_S = 0.01
_LONGEST_HURRY_S = 0.16
_LOOKS_AT_START = 100  # one soon after the other, until the first news
_LOOK_AT_START_S = 0.03


class Bridge(Widget):
    """Drains the source at the refresh rate and posts each batch.

    Args:
        source: Where the batches come from.
        refresh_rate: How often to ask.
    """

    DEFAULT_CSS = "Bridge { display: none; }"

    class Arrived(Message):
        """A batch from the run, perhaps an empty one: the screen is refreshed either way.

        Attributes:
            batch: What happened.
            hurried: Whether this is an extra look for an answer, not a regular refresh.
        """

        def __init__(self, batch: Batch, *, hurried: bool) -> None:
            super().__init__()
            self.batch = batch
            self.hurried = hurried

    def __init__(self, source: Source, refresh_rate: RefreshRate) -> None:
        super().__init__()
        self._source = source
        self._refresh_rate = refresh_rate
        self._hurry_s = 0.0
        self._looks_at_start = _LOOKS_AT_START

    def on_mount(self) -> None:
        """Start asking."""
        self._tick()

    def _tick(self) -> None:
        self.pull()
        # A long record that is still being read is shown as soon as it is there.
        interval_s = _LOOK_AT_START_S if self._looks_at_start else self._refresh_rate.next_interval_s()
        self.set_timer(interval_s, self._tick)

    def pull(self) -> None:
        """Drain the source now and post the batch."""
        batch = self._source.drain()
        self._looks_at_start = 0 if batch.notices else max(0, self._looks_at_start - 1)
        self.post_message(self.Arrived(batch, hurried=self._looks_at_start > 0))

    def hurry(self) -> None:
        """Look for the answer to a command before the next refresh."""
        self._hurry_s = _HURRY_S
        self.set_timer(self._hurry_s, self._hurried)

    def _hurried(self) -> None:
        batch = self._source.drain()
        self.post_message(self.Arrived(batch, hurried=True))
        self._hurry_s *= 2
        if not batch.notices and self._hurry_s <= _LONGEST_HURRY_S:
            self.set_timer(self._hurry_s, self._hurried)
