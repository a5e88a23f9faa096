"""Every layer on a row: name, sparkline, numbers, mark. Only the rows on the screen are drawn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vgrad.marks import HOT, MARK_WORDS, NON_FINITE, OK, TINY, ZERO, mark_layers
from vgrad_tui.fit import fit
from vgrad_tui.format import count, number, safe
from vgrad_tui.sparks import Decades, Resolution, decades_of, draw
from vgrad_tui.state import State
from vgrad_tui.widgets.lines import Lines, Roles, Runs, rule

_MARK_ROLES = {OK: "good", TINY: "warn", ZERO: "warn", HOT: "bad", NON_FINITE: "bad"}
_MARK_SIGNS = {OK: "●", TINY: "▽", ZERO: "○", HOT: "▲", NON_FINITE: "✗"}
_SORT_EVERY_S = 2.0  # rows that change places more often cannot be read
SORTS = ("model", "largest ‖g‖", "smallest ‖g‖", "largest update", "mark", "name")


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells; 0 for a column that there is no room for."""

    name: int
    spark: int
    norm: int
    ratio: int
    update: int
    age: int
    mark: int

    @classmethod
    def fit(cls, width: int, longest_name: int) -> Columns:
        """Share ``width`` out: the sparkline takes what the others leave."""
        ratio = 9 if width >= 72 else 0
        update = 9 if width >= 84 else 0
        age = 8 if width >= 104 else 0
        mark = 14 if width >= 64 else 2
        numbers = 9 + ratio + update + age + mark
        name = max(6, min(longest_name, 32, (width - numbers) // 2))
        return cls(name, max(0, width - numbers - name - 1), 9, ratio, update, age, mark)


class LayerTitle(Lines):
    """The title row of the table: what the columns are, and the scale of the sparklines."""

    def __init__(self) -> None:
        super().__init__(id="layer-title")

    def update(self, table: LayerTable) -> None:
        """Show the titles of ``table``'s columns."""
        columns = table.columns
        titles = "".join(
            f"{title:>{width}}"
            for title, width in (
                ("‖g‖", columns.norm),
                ("‖g‖/‖w‖", columns.ratio),
                ("update", columns.update),
                ("age", columns.age),
            )
            if width
        )
        titles += "  mark".ljust(columns.mark) if columns.mark > 2 else "  "
        shown = table.num_shown
        layers = f"layers {shown:,}" if not table.filter else f"layers {shown:,} of {table.num_layers:,}"
        left: list[tuple[str, str]] = [(layers, "title")]
        for text in (
            f"  log ‖g‖ {table.scale_words}",
            f"  column {count(table.steps_per_column)} steps",
            f"  by {SORTS[table.sort]}" if table.sort else "",
        ):
            if text and sum(len(part) for part, _ in left) + len(text) < self.size.width - len(titles) - 6:
                left.append((text, "dim"))
        row = rule(left, [], self.size.width - len(titles) - 1)
        self.show([[*row, (" ", "dim"), (titles, "dim")]])


class LayerTable(Roles, ScrollView, can_focus=True):
    """Thousands of layers, scrolled; draws what is visible and redraws what changed."""

    class Opened(Message):
        """A layer was chosen."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="layers.up"),
        Binding("down", "move(1)", "down", show=False, id="layers.down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="layers.page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="layers.page_down"),
        Binding("home", "move(-1_000_000_000)", "first", show=False, id="layers.first"),
        Binding("end", "move(1_000_000_000)", "last", show=False, id="layers.last"),
        Binding("enter", "open", "layer", id="layers.open"),
    ]

    cursor = reactive(0, repaint=False)

    def __init__(self, state: State, *, column_s: float) -> None:
        super().__init__(id="layers")
        self._state = state
        self._column_s = column_s
        self._resolution = Resolution()
        self._order: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._ordered_at = 0.0
        self._scale: Decades | None = None
        self._rows: list[Runs] = []
        self._rows_from = 0
        self._strips: dict[int, Strip] = {}
        self._names: list[str] = []
        self._longest = 0
        self.sort = 0
        self.filter = ""
        self.shares_scale = True
        self.columns = Columns.fit(80, 10)

    # -- what the title row tells ------------------------------------------------------------

    @property
    def num_layers(self) -> int:
        """Layers of the model."""
        return len(self._names)

    @property
    def num_shown(self) -> int:
        """Layers that the filter lets through."""
        return len(self._order)

    @property
    def steps_per_column(self) -> int:
        """Steps that one column of a sparkline stands for."""
        history = self._state.layers
        return 1 if history is None else int(history.fanout**self._resolution.level)

    @property
    def scale_words(self) -> str:
        """The scale of the sparklines, in words."""
        if not self.shares_scale:
            return "each its own"
        return "…" if self._scale is None else str(self._scale)

    # -- what is shown -----------------------------------------------------------------------

    def update(self) -> None:
        """Show the state as it is now; redraws the visible rows that differ."""
        state = self._state
        if state.info is None or state.layers is None or state.record is None:
            return
        if not self._names:
            self._names = [safe(name) for name in state.info.layers]
            self._longest = max(len(name) for name in self._names)
            self.reorder()
        elif self._is_order_old():
            self.reorder()
        before, before_from = self._rows, self._rows_from
        self._build()
        width = self.size.width
        if before_from != self._rows_from or len(before) != len(self._rows):
            self._strips.clear()
            self.refresh()
            return
        regions = []
        for y, (old, new) in enumerate(zip(before, self._rows, strict=True)):
            if old != new:
                self._strips.pop(self._rows_from + y, None)
                regions.append(Region(0, y, width, 1))
        if regions:
            self.refresh(*regions)

    def _is_order_old(self) -> bool:
        moves = self.sort not in (SORTS.index("model"), SORTS.index("name"))
        return moves and time.monotonic() - self._ordered_at > _SORT_EVERY_S

    def reorder(self) -> None:
        """Sort and filter anew."""
        state = self._state
        if state.record is None:
            return
        norms = state.record.grad_norms
        order = np.arange(len(self._names))
        match SORTS[self.sort]:
            case "largest ‖g‖":
                order = np.argsort(-norms, kind="stable")
            case "smallest ‖g‖":
                order = np.argsort(norms, kind="stable")
            case "largest update" if state.stats is not None:
                order = np.argsort(-np.nan_to_num(state.stats.update_ratio, nan=-1.0), kind="stable")
            case "mark":
                order = np.argsort(-self._marks().astype(np.int64), kind="stable")
            case "name":
                order = np.array(sorted(range(len(self._names)), key=self._names.__getitem__), dtype=np.int64)
        if self.filter:
            needle = self.filter.lower()
            order = order[[needle in self._names[index].lower() for index in order]]
        self._order = order
        self._ordered_at = time.monotonic()
        self.virtual_size = Size(0, len(order))
        self.cursor = max(0, min(self.cursor, len(order) - 1))
        self.forget()

    def forget(self) -> None:
        """Draw everything anew: the scale, the size or the order has changed."""
        self._scale = None
        self._rows = []
        self._strips.clear()
        self.refresh()

    def _marks(self) -> NDArray[np.uint8]:
        state = self._state
        assert state.record is not None
        return mark_layers(state.record.grad_norms, state.layer_sizes, state.stats)

    def _build(self) -> None:
        """Make the rows that are on the screen now."""
        state = self._state
        history, record, stats = state.layers, state.record, state.stats
        self._rows_from = first = self.scroll_offset.y
        visible = self._order[first : first + self.size.height].tolist()
        if history is None or record is None or not visible:
            self._rows = []
            return
        self.columns = columns = Columns.fit(self.size.width, self._longest)
        self._resolution.follow(history, columns.spark, state.steps_per_s(), self._column_s)
        level = self._resolution.level
        if self._scale is None:
            self._scale = decades_of(record.grad_norms)
        shared = self._scale if self.shares_scale else None
        sparks, spanned = draw(history, level, columns.spark, visible, shared)
        wider = Decades(min(self._scale.low, spanned.low), max(self._scale.high, spanned.high))
        if wider != self._scale and self.shares_scale:
            self._scale = wider
            sparks, _ = draw(history, level, columns.spark, visible, wider)
        norms = record.grad_norms[visible]
        marks = self._marks()[visible]
        if stats is not None:
            ratios = norms / stats.weight_norm[visible]
            updates = stats.update_ratio[visible]
            ages = record.step - stats.measured_step[visible]
            known = stats.measured_step[visible] >= 0
        rows: list[Runs] = []
        for row, index in enumerate(visible):
            numbers = f"  {number(float(norms[row])):>{columns.norm - 2}}"
            measured = stats is not None and bool(known[row])
            if columns.ratio:
                numbers += f"{number(float(ratios[row])) if measured else '–':>{columns.ratio}}"
            if columns.update:
                numbers += f"{number(float(updates[row])) if measured else '–':>{columns.update}}"
            if columns.age:
                numbers += f"{_age(int(ages[row])) if measured else '–':>{columns.age}}"
            mark = int(marks[row])
            sign = _MARK_SIGNS[mark] if columns.mark < 3 else f" {_MARK_SIGNS[mark]} {MARK_WORDS[mark]}"
            rows.append(
                [
                    (set_cell_size(fit(self._names[index], columns.name), columns.name + 1), "text"),
                    *sparks[row],
                    (numbers, "text"),
                    (f" {sign}".ljust(columns.mark), _MARK_ROLES[mark]),
                ]
            )
        self._rows = rows

    def render_line(self, y: int) -> Strip:
        """Draw one visible row."""
        if self.scroll_offset.y != self._rows_from or not self._rows:
            self._build()  # scrolled since the last update
        row = self._rows_from + y
        strip = self._strips.get(row)
        if strip is None or strip.cell_length != self.size.width:
            runs: Runs = self._rows[y] if y < len(self._rows) else ()
            if y == 0 and self.filter and not self.num_shown:
                runs = [("no layer matches; esc shows all", "dim")]
            strip = self.strip(runs, self.size.width)
            if row == self.cursor and runs and self.has_focus:
                strip = strip.apply_style(self.role("cursor"))
            if y < len(self._rows):
                self._strips[row] = strip
        return strip

    def forget_strips(self) -> None:
        """Draw every row anew when it is next asked for."""
        self._strips.clear()

    # -- moving about ------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Other widths, other columns."""
        self._rows = []
        self._strips.clear()
        self.refresh()

    def on_focus(self) -> None:
        """The cursor appears."""
        self._redraw(self.cursor)

    def on_blur(self) -> None:
        """The cursor disappears."""
        self._redraw(self.cursor)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows are visible."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._strips.clear()
            self.refresh()

    def watch_cursor(self, old: int, new: int) -> None:
        """Keep the cursor on the screen."""
        self._redraw(old, new)
        self.scroll_to_region(Region(0, new, 1, 1), animate=False, force=True)

    def _redraw(self, *rows: int) -> None:
        for row in rows:
            self._strips.pop(row, None)
            y = row - self.scroll_offset.y
            if 0 <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.cursor = max(0, min(self.cursor + rows, self.num_shown - 1))

    def action_page(self, pages: int) -> None:
        """Move the cursor by whole screens."""
        self.action_move(pages * max(1, self.size.height - 1))

    def action_open(self) -> None:
        """Open the layer under the cursor."""
        if self.num_shown:
            self.post_message(self.Opened(int(self._order[self.cursor])))

    def on_click(self, event: events.Click) -> None:
        """Choose a row; a click on the chosen row opens it."""
        row = self.scroll_offset.y + event.y
        if row >= self.num_shown:
            return
        if row == self.cursor:
            self.action_open()
        self.cursor = row


def _age(steps: int) -> str:
    return "now" if steps <= 0 else count(steps)
