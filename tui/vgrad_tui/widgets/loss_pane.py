"""The loss: raw points, a smoothed line over them, validation, and where commands took effect."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vgrad.events.history import Buckets
from vgrad_tui.draw.charts import LossChart, draw_loss, nice_range
from vgrad_tui.draw.numbers import safe
from vgrad_tui.draw.runs import Runs, cut_short, rule
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.lines import Lines

_SMOOTH_SHARE = 0.02  # of the chart's width: the time constant of the smoothed line
_ROOM_FOR_BASELINE = 60  # columns
_CELLS_PER_VALIDATION = 5
_MOST_LABELS = 4
_ALL_BUT = 0.8
_NEAREST = 20  # steps: as close as it zooms


class LossPane(Lines):
    """The loss chart, its title above it.

    Attributes:
        is_log: Whether the loss axis is logarithmic.
        span: Steps that are shown, or None for the whole run.
        back: Steps between the right end and the newest step; 0 follows the run.
    """

    def __init__(self) -> None:
        super().__init__(id="chart")
        self.is_log = True
        self.span: int | None = None
        self.back = 0
        self._state: State | None = None

    def on_resize(self) -> None:
        """Another view below may take more or less room."""
        if self._state is not None:
            self.update(self._state)

    def update(self, state: State) -> None:
        """Draw the chart again."""
        self._state = state
        width, height = self.size
        if width < 4 or height < 2:
            self.show([])
            return
        rows: list[Runs] = [self._title(state)]
        data = None if state.record is None else self._data(state)
        if data is None or not (len(data.steps) or len(data.val_steps)):
            words = _why_nothing_is_drawn(state)
            rows += [[] for _ in range((height - 2) // 2)]
            rows.append([(words.center(width), "dim")])
        else:
            rows += draw_loss(data, width, height - 1)
        self.show(rows)

    def zoom(self, steps: int, newest: int) -> None:
        """Show half (``steps`` > 0) or twice (``steps`` < 0) as much of the run."""
        span = self.span or newest
        span = span // 2 if steps > 0 else span * 2
        # The run has grown since: twice the half of it is all but a few of its steps.
        self.span = None if span >= _ALL_BUT * newest else max(_NEAREST, span)
        if self.span is None:
            self.back = 0

    def pan(self, direction: int, newest: int) -> None:
        """Move a zoomed chart by half its width: -1 to older, 1 to newer steps."""
        if self.span is not None:
            self.back = max(0, min(self.back - direction * self.span // 2, newest - self.span))

    def _title(self, state: State) -> Runs:
        left: list[tuple[str, str]] = [(f"loss{state.of_part(state.shown_part)}", "title")]
        if state.record is not None and state.record.loss is not None:
            left += [("  train ", "dim"), (f"{state.record.loss:.4g}", "strong")]
        if state.validations:
            left += [("  val ", "dim"), (f"{state.validations[-1][1]:.4g}", "val")]
        baseline = None if state.info is None else state.info.baseline
        if baseline is not None and self.size.width >= _ROOM_FOR_BASELINE:
            left += [("  baseline ", "dim"), (f"{baseline:.4g}", "dim")]
        right: list[tuple[str, str]] = []
        if self.span is not None:
            right.append((f"{self.span:,} steps  ", "dim"))
        right.append(("log" if self.is_log else "linear", "dim"))
        return rule(left, right, self.size.width)

    def _data(self, state: State) -> LossChart:
        first, last = self.steps_shown(state)
        buckets = state.losses.window(first, last + 1, max(2, self.size.width))
        shown = [(step, loss) for step, loss in state.validations if first <= step <= last]
        # A mark every few columns: more would bury the curve. The newest is always among them.
        shown = shown[:: -max(1, _CELLS_PER_VALIDATION * len(shown) // self.size.width)][::-1]
        buckets = buckets.rows(buckets.count > 0)
        middle = buckets.first_step + (buckets.steps_per_bucket - 1) / 2
        return LossChart(
            steps=np.clip(middle, first, last),
            raw_min=buckets.min[:, 0],
            raw_max=buckets.max[:, 0],
            smooth=smoothed(buckets, last - first + 1, log=self.is_log),
            val_steps=np.array([step for step, _ in shown], dtype=np.float64),
            val_losses=np.array([loss for _, loss in shown], dtype=np.float64),
            marks=labelled(state.marks),
            log=self.is_log,
            first=first,
            last=last,
        )

    def steps_shown(self, state: State) -> tuple[int, int]:
        """First and last step on the horizontal axis."""
        newest = state.step
        total = state.info.num_steps if state.info else None
        if self.span is None:
            # A range that grows by jumps leaves most of the picture as it was.
            last = nice_range(newest)
            return 1, last if total is None else min(last, max(total, newest))
        jump = max(1, self.span // 10)
        last = math.ceil((newest - self.back) / jump) * jump if not self.back else newest - self.back
        return max(1, last - self.span), last


def labelled(marks: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Marks of which only the newest keep their labels, or a chart would be all labels."""
    marks = list(marks)
    num_silent = max(0, len(marks) - _MOST_LABELS)
    return tuple((step, label if index >= num_silent else "") for index, (step, label) in enumerate(marks))


def smoothed(buckets: Buckets, num_steps: int, *, log: bool) -> NDArray[np.float64]:
    """Smoothed means of the buckets' losses, shape ``(n,)``.

    Exponential smoothing forwards and backwards, averaged, so that the line does not lag behind
    the points. What is not finite passes through as it is and does not poison its neighbours.
    On a logarithmic axis logarithms are smoothed: the mean of a run that was at 1e14 once would
    stay far above its losses for as long as the run is shown.
    """
    means = buckets.mean[:, 0].astype(np.float64)
    weight = 1 - math.exp(-buckets.steps_per_bucket / max(1.0, _SMOOTH_SHARE * num_steps))
    log = log and not (means <= 0).any()
    heights = np.log(means) if log else means
    smooth = (_follow(heights, weight) + _follow(heights[::-1], weight)[::-1]) / 2
    return np.exp(smooth) if log else smooth


def _follow(values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    followed = np.empty_like(values)
    level = math.nan
    for index, value in enumerate(values.tolist()):
        if not math.isfinite(value):
            followed[index] = value
            continue
        level = value if math.isnan(level) else level + weight * (value - level)
        followed[index] = level
    return followed


class EffectLine(Lines):
    """What the last command did to the loss, in words."""

    def __init__(self) -> None:
        super().__init__(id="effect")

    def update(self, state: State) -> None:
        """Show what the last command did."""
        found = state.effect()
        if found is None:
            words = "no change yet: press c to clip, a to accumulate, - or = for the rate"
            if len(words) > self.size.width:
                words = "no change yet: press c, a, - or ="
            hint: Runs = [(words, "dim")]
            if state.info is None or state.ended is not None or state.is_recording:
                hint = []
            self.show([hint])
            return
        labels, effect = found
        label = " + ".join(labels)
        if len(label) + 2 + len(effect.words(0)) > self.size.width and len(labels) > 1:
            label = f"{labels[0]} + {len(labels) - 1} more"  # what it did is worth more than all the names
        words = effect.words(self.size.width - len(label) - 2)
        runs = [(label, "mark"), (": ", "dim"), (words, "text")]
        self.show([cut_short(runs, self.size.width)])


def _why_nothing_is_drawn(state: State) -> str:
    if state.info is None:
        return f"{safe(state.preparing)} …" if state.ended is None else "training did not begin"
    if state.record is None:
        return "no steps yet" if state.ended is None else "there were no steps"
    return "the loss of this run is not known"
