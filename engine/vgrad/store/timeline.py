"""All that is recorded of a run, laid out along its time of training: a replay shows it piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vgrad.controls.wording import describe
from vgrad.events.batch import Batch, LayerNorms
from vgrad.events.notices import CommandApplied, CommandRejected, RunEnded, VerdictChanged
from vgrad.store.non_finite import where_non_finite_began

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from vgrad.events.notices import Notice
    from vgrad.events.step_block import StepBlock

_BEFORE = -1.0  # before everything, also before what happened at 0 s


@dataclass(frozen=True, slots=True)
class Event:
    """A command or a verdict that a replay can go to.

    Attributes:
        at_s: Seconds of training at which it happened.
        step: The step that it belongs to.
        words: What happened.
    """

    at_s: float
    step: int
    words: str


class Timeline:
    """A recorded run along its seconds of training.

    Args:
        whole: The whole record, as `vgrad.store.reader.RunReader.overview` gives it.

    Attributes:
        end_s: Seconds of training up to the last step.
        last_step: Number of the last step of the first part.
        events: Commands and verdicts, oldest first.
    """

    def __init__(self, whole: Batch) -> None:
        self._blocks = list(_with_times(whole.blocks))
        self._steps: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for part in sorted({block.part for block, _ in self._blocks}):
            own = [(block.step, times) for block, times in self._blocks if block.part == part]
            step, times = (np.concatenate(columns) for columns in zip(*own, strict=True))
            self._steps[part] = step, times
        self._first_part = min(self._steps, default=0)
        self.end_s = max((float(times[-1]) for _, times in self._blocks), default=0.0)
        self.last_step = int(self._steps[self._first_part][0][-1]) if self._steps else 0
        self._norms = [(norms, self._times_of(norms.part, norms.step)) for norms in whole.layer_norms]
        began = where_non_finite_began(whole)
        self._notices = tuple(_with_origin(notice, began) for notice in whole.notices)
        at_s = [self._time_of_notice(notice) for notice in self._notices]
        self._notice_times = np.maximum.accumulate(np.array(at_s, dtype=np.float64))
        self._snapshots, self._ranks = whole.snapshots, whole.ranks
        self.events = tuple(self._find_events())

    def time_of(self, step: int) -> float:
        """Seconds of training after a step of the first part: 0 before its first, the end after its last."""
        if self._first_part not in self._steps or step <= 0:
            return 0.0
        return float(self._times_of(self._first_part, np.array([step]))[0])

    def step_at(self, at_s: float) -> int:
        """The last step of the first part that was done by then; 0 before the first."""
        if self._first_part not in self._steps:
            return 0
        step, times = self._steps[self._first_part]
        done = int(np.searchsorted(times, at_s, side="right"))
        return int(step[done - 1]) if done else 0

    def between(self, start_s: float | None, stop_s: float) -> Batch:
        """What happened after ``start_s`` up to ``stop_s``; None: from the very beginning.

        The newest statistics belong to the end, and come with it.
        """
        after = _BEFORE if start_s is None else start_s
        blocks = []
        for block, times in self._blocks:
            rows = _rows(times, after, stop_s)
            if rows.stop > rows.start:
                blocks.append(block[rows])
        norms = []
        for layers, times in self._norms:
            rows = _rows(times, after, stop_s)
            if rows.stop > rows.start:
                norms.append(LayerNorms(layers.part, layers.step[rows], layers.grad_norms[rows]))
        notices = self._notices[_rows(self._notice_times, after, stop_s)]
        is_end = stop_s >= self.end_s > after
        return Batch(
            tuple(blocks),
            notices,
            self._snapshots if is_end else {},
            layer_norms=tuple(norms),
            is_restart=start_s is None,
            ranks=self._ranks if is_end else None,
        )

    def _find_events(self) -> Iterable[Event]:
        for notice, at_s in zip(self._notices, self._notice_times.tolist(), strict=True):
            match notice.body:
                case CommandApplied(command=command) | CommandRejected(command=command):
                    yield Event(at_s, notice.step, describe(command))
                case VerdictChanged(verdict=verdict):
                    yield Event(at_s, notice.step, verdict.kind)

    def _times_of(self, part: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        known, times = self._steps.get(part) or self._steps[self._first_part]
        return times[np.minimum(np.searchsorted(known, steps), len(known) - 1)]

    def _time_of_notice(self, notice: Notice) -> float:
        if isinstance(notice.body, RunEnded):
            return self.end_s
        if notice.step <= 0 or not self._steps:
            return 0.0
        return float(self._times_of(notice.part, np.array([notice.step]))[0])


def _rows(times: NDArray[np.float64], after: float, up_to: float) -> slice:
    first, stop = np.searchsorted(times, [after, up_to], side="right").tolist()
    return slice(first, stop)


def _with_times(blocks: Iterable[StepBlock]) -> Iterable[tuple[StepBlock, NDArray[np.float64]]]:
    """Each block with the seconds of its steps, which never run backwards."""
    latest: dict[int, float] = {}
    for block in blocks:
        elapsed_s = np.nan_to_num(block.elapsed_s, nan=0.0, posinf=0.0, neginf=0.0)
        times = np.maximum(np.maximum.accumulate(elapsed_s), latest.get(block.part, 0.0))
        latest[block.part] = float(times[-1])
        yield block, times


def _with_origin(notice: Notice, began: str | None) -> Notice:
    """The last notice also says where non-finite values began."""
    body = notice.body
    if began is None or not isinstance(body, RunEnded):
        return notice
    message = began if body.message is None else f"{body.message}\n{began}"
    return replace(notice, body=replace(body, message=message))
