"""A recorded run shown again: played at any speed, paused, and moved to any step, command or verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vgrad.errors import DataError
from vgrad.events.batch import Batch
from vgrad.events.notices import RunEnded
from vgrad.store.ancestry import with_ancestors
from vgrad.store.ending import with_end
from vgrad.store.reader import RunReader
from vgrad.store.timeline import Event, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vgrad.controls.controls import Command
    from vgrad.store.folder import RunFolder

_ROWS_PER_LEVEL = 4096  # steps with their norms per layer that are kept in memory, at each resolution
_USUAL_S = 60.0  # a whole run plays in about so many seconds, unless somebody chooses
_FASTEST = 2.0**20
_SLOWEST = 2.0**-4


class ReplayedRun:
    """Plays the record of a run; it has the methods of a session that a screen uses.

    Args:
        folder: The run's folder.
        at_step: Where to begin, paused there; None: at the start, playing, but a run that failed at its
            end.
        clock_s: Seconds that go by while somebody watches.

    Attributes:
        timeline: What is played.
        speed: Seconds of training that are shown in one.
        is_playing: Whether it goes on by itself.

    Raises:
        DataError: If the folder holds no record that can be read.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        at_step: int | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        with RunReader(folder) as reader:
            own = reader.overview(rows_per_level=_ROWS_PER_LEVEL)
            whole = with_ancestors(own, rows_per_level=_ROWS_PER_LEVEL).flattened()
            is_alive = reader.status()["status"] == "alive"
        if not is_alive:
            whole = with_end(whole, folder)
        self.timeline = Timeline(whole)
        self._clock_s = clock_s
        self._log = folder.log
        self._shown_s: float | None = None
        ended = whole.notices[-1].body if whole.notices else None
        has_failed = isinstance(ended, RunEnded) and ended.reason == "failed"
        self.is_playing = at_step is None and not has_failed
        self.speed = 1.0
        while self.timeline.end_s / self.speed > _USUAL_S and self.speed < _FASTEST:
            self.speed *= 2
        self._since_s = clock_s()
        self._at_s = 0.0
        if at_step is not None:
            self._at_s = self.timeline.time_of(at_step)
        elif has_failed:
            self._at_s = self.timeline.end_s

    @property
    def position_s(self) -> float:
        """Seconds of training up to what is shown now."""
        if not self.is_playing:
            return self._at_s
        return min(self.timeline.end_s, self._at_s + (self._clock_s() - self._since_s) * self.speed)

    @property
    def step(self) -> int:
        """The step that is shown now."""
        return self.timeline.step_at(self.position_s)

    def toggle(self) -> None:
        """Play or pause; at the end, play from the start."""
        if not self.is_playing and self._at_s >= self.timeline.end_s:
            self._move(0.0)
        else:
            self._move(self.position_s)
        self.is_playing = not self.is_playing

    def faster(self, factor: float) -> None:
        """Play so many times as fast."""
        self._move(self.position_s)
        self.speed = min(max(self.speed * factor, _SLOWEST), _FASTEST)

    def seek(self, step: int) -> None:
        """Pause at a step; one before the first or after the last is the start or the end."""
        self.is_playing = False
        is_end = step >= self.timeline.last_step
        self._move(self.timeline.end_s if is_end else self.timeline.time_of(step))

    def seek_event(self, direction: int) -> Event | None:
        """Pause at the next command or verdict, or the one before (-1), and return it, if there is one."""
        now_s = self.position_s
        if direction > 0:
            event = next((event for event in self.timeline.events if event.at_s > now_s), None)
        else:
            event = next((event for event in reversed(self.timeline.events) if event.at_s < now_s), None)
        if event is not None:
            self.is_playing = False
            self._move(event.at_s)
        return event

    def _move(self, at_s: float) -> None:
        self._at_s, self._since_s = at_s, self._clock_s()

    # -- what a screen uses ------------------------------------------------------------------------

    @property
    def exception(self) -> BaseException | None:
        """What ended the run was known to its own process alone; the record has its words."""
        return None

    @property
    def log(self) -> Path:
        """What its process printed."""
        return self._log

    @property
    def outlives_screen(self) -> bool:
        """The record stays as it is."""
        return True

    @property
    def stop_signal(self) -> None:
        """None: nothing runs."""
        return None

    def start(self) -> None:
        """The first second begins now."""
        self._move(self._at_s)

    def submit(self, command: Command, *, command_id: str | None = None) -> str:
        """Refuse: what has happened cannot be changed.

        Raises:
            DataError: Always.
        """
        raise DataError("this is a recording: nothing in it can be changed")

    def drain(self) -> Batch:
        """Take all between what was shown and what is to be shown; after a step back, all from the start."""
        now_s = self.position_s
        if now_s >= self.timeline.end_s and self.is_playing:
            self.is_playing = False
            self._move(now_s)
        shown_s, self._shown_s = self._shown_s, now_s
        if shown_s is not None and now_s == shown_s:
            return Batch()
        return self.timeline.between(None if shown_s is None or now_s < shown_s else shown_s, now_s)

    def close(self) -> None:
        """Nothing is open."""

    def stop(self) -> None:
        """It is not training."""

    def join(self, timeout: float | None = None) -> bool:
        """It has ended."""
        return True
