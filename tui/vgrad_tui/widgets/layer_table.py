"""Every layer on a row: name, sparkline, numbers, mark. Only the rows on the screen are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import set_cell_size

from vgrad.diagnose.layer_marks import HOT, MARK_WORDS, NON_FINITE, OK, TINY, ZERO
from vgrad.events.history import History
from vgrad.events.layer_stats import LayerStats
from vgrad.events.step_record import StepRecord
from vgrad_tui.draw.fit_text import fit
from vgrad_tui.draw.numbers import age, count, number, percent
from vgrad_tui.draw.runs import Field, Runs
from vgrad_tui.draw.sparklines import Decades, Resolution, decades_of, draw
from vgrad_tui.state.layer_order import SORTS, LayerOrder
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.view import View

_MARK_ROLES = {OK: "good", TINY: "warn", ZERO: "warn", HOT: "bad", NON_FINITE: "bad"}
_LEAST_WIDTH_FOR_WORDS = 112
_MARK_SIGNS = {OK: "●", TINY: "▽", ZERO: "○", HOT: "▲", NON_FINITE: "✗"}


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Widths in cells; 0 for a column that there is no room for."""

    name: int
    spark: int
    norm: int
    ratio: int
    update: int
    underflow: int
    age: int
    mark: int

    @classmethod
    def fit(cls, width: int, longest_name: int, *, is_float16: bool) -> TableColumns:
        """Share ``width`` out: the sparkline takes what the others leave."""
        underflow = 11 if width >= 64 and is_float16 else 0
        ratio = 9 if width >= 72 and not (underflow and width < 84) else 0
        age = 8 if width >= 78 and not (underflow and width < 92) else 0  # of all that is not ‖g‖
        update = 9 if width >= 92 else 0
        mark = 14 if width >= 64 else 2
        numbers = 9 + ratio + update + underflow + age + mark
        name = max(6, min(longest_name, 32, (width - numbers) // 2))
        return cls(name, max(0, width - numbers - name - 1), 9, ratio, update, underflow, age, mark)


class LayerTable(View):
    """Thousands of layers, scrolled: name, sparkline, numbers, mark."""

    NAME = "layers"

    def __init__(self, state: State, order: LayerOrder, *, column_s: float) -> None:
        super().__init__(state, order)
        self._column_s = column_s
        self._resolution = Resolution()
        self._scale: Decades | None = None
        self._shares_scale = True
        self._columns = TableColumns.fit(80, 10, is_float16=False)

    # -- what the title row shows ------------------------------------------------------------

    def title(self) -> list[Field]:
        """The scale of the sparklines, how many layers there are, and how they are sorted."""
        num_shown, num_layers = len(self.order.shown), len(self.order.names)
        layers = (
            f"{num_shown:,} of {num_layers:,} layers" if self.order.filter else f"all {num_shown:,} layers"
        )
        steps = self._resolution.width
        scale = "each its own" if not self._shares_scale else str(self._scale or "…")
        is_narrow = self._columns.age > 0 and self.size.width < _LEAST_WIDTH_FOR_WORDS
        what = scale.replace(" to ", "..") if is_narrow else f"log ‖g‖ {scale}"
        return [
            (8 if self._shares_scale else 10, [(what, "dim")]),
            (10 if self.order.filter else 7, [(layers, "dim")] if num_layers else []),
            (5, [(f"column {count(steps)} step{'s' if steps > 1 else ''}", "dim")]),
            (9, [(f"by {SORTS[self.order.sort]}", "dim")] if self.order.sort else []),
        ]

    def column_titles(self) -> str:
        """Titles over the numbers."""
        columns = self._columns
        titles = "".join(
            f"{title:>{width}}"
            for title, width in (
                ("‖g‖", columns.norm),
                ("‖g‖/‖w‖", columns.ratio),
                ("update", columns.update),
                ("underflow", columns.underflow),
                ("age", columns.age),
            )
            if width
        )
        return titles + ("  mark".ljust(columns.mark) if columns.mark > 2 else "  ")

    # -- what is shown -----------------------------------------------------------------------

    def order_changed(self) -> None:
        """Find the scale again."""
        self._scale = None

    def toggle_scale(self) -> None:
        """One scale for all sparklines, or one each."""
        self._shares_scale = not self._shares_scale
        self._scale = None
        self.forget()

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """A row per layer."""
        state = self.state
        history, record, stats = state.layers, state.record, state.stats
        visible = self.order.shown[first : first + count].tolist()
        if not visible and self.order.filter:
            return [[("no layer matches; esc shows all", "dim")]]
        if history is None or record is None or not visible:
            return []
        self._columns = columns = TableColumns.fit(
            self.size.width, self.longest_name, is_float16=state.is_float16
        )
        sparks = self._sparks(history, record, visible)
        marks = self.order.marks()[visible]
        rows: list[Runs] = []
        for row, index in enumerate(visible):
            numbers = self._numbers(record, stats, index)
            mark = int(marks[row])
            sign = _MARK_SIGNS[mark] if columns.mark < 3 else f" {_MARK_SIGNS[mark]} {MARK_WORDS[mark]}"
            rows.append(
                [
                    (set_cell_size(fit(self.order.names[index], columns.name), columns.name + 1), "text"),
                    *sparks[row],
                    (numbers, "text"),
                    (f" {sign}".ljust(columns.mark), _MARK_ROLES[mark]),
                ]
            )
        return rows

    def _numbers(self, record: StepRecord, stats: LayerStats | None, layer: int) -> str:
        """The columns of one layer; ``–`` in each of which nothing is known."""
        columns, norm = self._columns, float(record.grad_norms[layer])
        ratio = update = underflow = measured = "–"
        if stats is not None and stats.measured_step[layer] >= 0:
            weight = float(stats.weight_norm[layer])
            ratio = number(norm / weight) if weight else "–"
            update = number(float(stats.update_ratio[layer])) if stats.knows_update[layer] else "–"
            underflow = percent(float(stats.underflow_share[layer]))
            measured = age(record.step - int(stats.measured_step[layer]))
        widths = (columns.ratio, columns.update, columns.underflow, columns.age)
        shown = zip((ratio, update, underflow, measured), widths, strict=True)
        texts = "".join(f"{text:>{width}}" for text, width in shown if width)
        return f"  {number(norm):>{columns.norm - 2}}{texts}"

    def _sparks(self, history: History, record: StepRecord, visible: list[int]) -> list[Runs]:
        """The sparklines, on a scale that only ever gets wider."""
        columns = self._columns.spark
        self._resolution.follow(history, columns, self.state.steps_per_s(), self._column_s)
        width = self._resolution.width
        if self._scale is None:
            self._scale = decades_of(record.grad_norms)
        shared = self._scale if self._shares_scale else None
        sparks, spanned = draw(history, width, columns, visible, shared)
        wider = Decades(min(self._scale.low, spanned.low), max(self._scale.high, spanned.high))
        if wider != self._scale and self._shares_scale:
            self._scale = wider
            sparks, _ = draw(history, width, columns, visible, wider)
        return sparks
