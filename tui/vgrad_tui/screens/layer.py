"""One layer: its gradient over the whole run, and all that is known of it."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.binding import BindingType

from vgrad.diagnose.layer_marks import MARK_WORDS, mark_layers
from vgrad.events.layer_stats import HISTOGRAM_DECADES, LayerStats
from vgrad_tui.draw.charts import SeriesChart, draw_series, nice_range
from vgrad_tui.draw.fit_text import fit
from vgrad_tui.draw.numbers import count, number, safe
from vgrad_tui.draw.runs import Runs, rule, width_of
from vgrad_tui.keys import LAYER_KEYS
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.histogram import ridge_of
from vgrad_tui.widgets.keybar import KeyBar
from vgrad_tui.widgets.lines import Lines, StyledScreen
from vgrad_tui.widgets.loss_pane import labelled

_ROOM_FOR_TWO = 72  # columns
_FEWEST_CELLS_OF_NAME = 16


class LayerScreen(StyledScreen[None]):
    """A layer's own chart and numbers; esc goes back, up and down go to its neighbours."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in LAYER_KEYS]

    def __init__(self, state: State, index: int) -> None:
        super().__init__()
        self._state = state
        self._index = index
        self._layer_name = ""  # of the layer; empty until it has been shown

    def compose(self) -> ComposeResult:
        """A chart and rows of numbers."""
        yield Lines(id="layer-chart")
        yield Lines(id="layer-numbers")
        yield KeyBar(LAYER_KEYS)

    def on_mount(self) -> None:
        """Draw once the sizes are known."""
        self.set_class(self.size.width < _ROOM_FOR_TWO, "-narrow")
        self.call_after_refresh(self.refresh_view)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.set_class(self.size.width < _ROOM_FOR_TWO, "-narrow")
        self.call_after_refresh(self.refresh_view)

    def action_go(self, layers: int) -> None:
        """Show a neighbour."""
        self._index = (self._index + layers) % max(1, len(self._names))  # a run that begins again has none
        self._layer_name = ""
        self.refresh_view()

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        """A click on a key does what the key does."""
        event.stop()
        self.run_worker(self.run_action(event.action))

    @property
    def _names(self) -> tuple[str, ...]:
        return self._state.info.layers if self._state.info else ()

    def refresh_view(self) -> None:
        """Show the layer as it is now."""
        if self._state.record is None or self._state.layers is None:
            return
        self._follow_layers()
        self.query_one("#layer-chart", Lines).show(self._chart())
        self.query_one("#layer-numbers", Lines).show(self._numbers())

    def _follow_layers(self) -> None:
        """Find the layer again where the run has other layers by now; its neighbour if it is gone."""
        names, name = self._names, self._layer_name
        if name in names[self._index : self._index + 1]:
            return
        self._index = names.index(name) if name in names else min(self._index, len(names) - 1)
        self._layer_name = names[self._index]

    def _chart(self) -> list[Runs]:
        width, height = self.query_one("#layer-chart", Lines).size
        if width < 4 or height < 3 or self._state.layers is None:
            return []
        last = nice_range(self._state.step)
        buckets = self._state.layers.window(1, last + 1, 2 * width, [self._index])
        buckets = buckets.rows(buckets.count > 0)
        quantity = "  ‖g‖ per step"
        where: Runs = [(f"layer {self._index + 1:,} of {len(self._names):,}", "dim")]
        room = width - width_of([(quantity, "dim"), *where]) - len("─  ─  ─")
        name = fit(safe(self._names[self._index]), max(_FEWEST_CELLS_OF_NAME, room))
        title: Runs = [(name, "title"), (quantity, "dim")]
        chart = SeriesChart(
            steps=np.clip(buckets.first_step + (buckets.steps_per_bucket - 1) / 2, 1, last),
            raw_min=buckets.min[:, 0],
            raw_max=buckets.max[:, 0],
            mean=buckets.mean[:, 0],
            marks=labelled(self._state.marks),
            log=True,
            first=1,
            last=last,
        )
        return [rule(title, where, width), *draw_series(chart, width, height - 1)]

    def _numbers(self) -> list[Runs]:
        state, index = self._state, self._index
        record, stats, info = state.record, state.stats, state.info
        assert record is not None
        assert info is not None
        size = info.layer_sizes[index]
        norm = float(record.grad_norms[index])
        marks = mark_layers(record.grad_norms, state.layer_sizes, stats, state.verdict)
        mark = MARK_WORDS[int(marks[index])]
        share = _percent(norm / record.grad_norm) if record.grad_norm > 0 else "–"
        rows: list[Runs] = [
            rule([("numbers", "title")], [], self.size.width),
            *self._pair("parameters", count(size), "mark", mark),
            *self._pair("‖g‖ now", number(norm), "share of the joint norm", share),
        ]
        if stats is None or stats.measured_step[index] < 0:
            return [*rows, [("the other numbers have not been measured yet", "dim")]]
        weight = float(stats.weight_norm[index])
        age = record.step - int(stats.measured_step[index])
        update = number(float(stats.update_ratio[index])) if stats.knows_update[index] else "–"
        largest = number(float(stats.grad_max[index])) if stats.had_gradient[index] else "–"
        lost = _percent(float(stats.underflow_share[index]))
        return [
            *rows,
            *self._pair("‖w‖", number(weight), "‖g‖/‖w‖", number(norm / weight) if weight else "–"),
            *self._pair("update ‖Δw‖/‖w‖", update, "largest |g|", largest),
            *self._pair(
                "exact zeros", _percent(float(stats.zero_share[index])), "measured", f"{age:,} steps ago"
            ),
            *(self._pair("underflow", lost, "", "") if state.is_float16 else []),
            *_entries(stats, index, record.step, self.size.width),
        ]

    def _pair(self, name: str, value: str, other: str, other_value: str) -> list[Runs]:
        """Two numbers side by side, or one below the other where there is no room."""
        second: Runs = [(f"{other:<24}", "dim"), (other_value.strip(), "text")]
        if self.size.width >= _ROOM_FOR_TWO:
            return [[(f"{name:<18}", "dim"), (f"{value.strip():<14}", "text"), *second]]
        return [[(f"{name:<24}", "dim"), (value.strip(), "text")], *([second] if other else [])]


def _entries(stats: LayerStats, index: int, step: int, width: int) -> list[Runs]:
    """The layer's gradient entries by magnitude, as of their own measurement."""
    measured_step = int(stats.entries_step[index])
    if measured_step < 0:
        return [[("entries by decade of |g|: not measured yet", "dim")]]
    if not stats.had_gradient[index]:
        return [[("entries by decade of |g|: there was no gradient when it was measured", "dim")]]
    age = f"entries by decade of |g|, {step - measured_step:,} steps ago:"
    return [[(age, "dim")], *_histogram(stats.histogram[index], width)]


def _histogram(shares: NDArray[np.float32], width: int) -> list[Runs]:
    """A bar per decade, with the decades below."""
    low, high = HISTOGRAM_DECADES
    cells = 5 if width >= 5 * (high - low) else 3
    bars = "".join((bar * (3 if cells > 3 else 2)).ljust(cells) for bar in ridge_of(shares, 1))
    labels = "".join(
        (f"{decade}" if cells > 3 or decade % 2 == 0 else "").ljust(cells) for decade in range(low, high)
    )
    return [[(bars, "smooth")], [(labels, "dim")]]


def _percent(share: float) -> str:
    """A share with a digit after the point; ``–`` where it is not known."""
    return f"{share * 100:.1f} %" if math.isfinite(share) else "–"
