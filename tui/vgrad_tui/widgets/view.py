"""The base of the views in the lower half of the screen: rows that scroll under a fixed header.

A view makes the rows that are on the screen and nothing else; those that differ are redrawn.
Only the view that is shown is ever updated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vgrad_tui.draw.runs import Field, Runs
from vgrad_tui.state.layer_order import LayerOrder
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.lines import Roles

_LEAST_HEIGHT_FOR_HEADER = 4


class View(Roles, ScrollView, can_focus=True):
    """One way to look at the run.

    Args:
        state: The run.
        order: The layers that are shown, shared by all views.

    Attributes:
        NAME: What the view is called, as an action's argument and, unless it has a shorter one
            in TAB, on its tab.
        HEADER_ROWS: Rows on top that do not scroll; left out where there is hardly any room.
        HAS_CURSOR: Whether rows can be chosen; if not, the keys that move it scroll.
        cursor: The chosen row.
    """

    class Opened(Message):
        """A layer was chosen."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    NAME: ClassVar[str]
    TAB: ClassVar[str] = ""
    HEADER_ROWS: ClassVar[int] = 0
    HAS_CURSOR: ClassVar[bool] = True

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

    def __init__(self, state: State, order: LayerOrder) -> None:
        super().__init__(id=self.NAME)
        self.state = state
        self.order = order
        self._order_version = order.version
        self._wanted_height = 0
        self._aim: int | None = None
        self._rows: Sequence[Runs] = []
        self._rows_from = 0
        self._strips: dict[int, Strip] = {}
        self._longest_name: tuple[list[str], int] = ([], 0)  # of these names, so many cells

    # -- what a view defines -------------------------------------------------------------------

    @property
    def num_rows(self) -> int:
        """Rows that there are below the header, on the screen or scrolled out of it."""
        return len(self.order.shown)

    @property
    def wanted_height(self) -> int:
        """Rows of the screen that the view would like to have."""
        return self.HEADER_ROWS + self.num_rows

    def header(self) -> list[Runs]:
        """The rows that do not scroll: `HEADER_ROWS` of them."""
        return []

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """Rows ``first`` to ``first + count - 1``, or as many of them as there are."""
        raise NotImplementedError

    def title(self) -> list[Field]:
        """What the title row shows beside the tabs: priority and runs of each field."""
        return []

    def column_titles(self) -> str:
        """Titles at the right end of the title row, over the columns that they name."""
        return ""

    def layer_at(self, row: int) -> int | None:
        """The layer that a row shows, or None."""
        return int(self.order.shown[row]) if 0 <= row < len(self.order.shown) else None

    def row_of(self, layer: int) -> int | None:
        """The row that shows a layer, or None."""
        found = (self.order.shown == layer).nonzero()[0]
        return int(found[0]) if len(found) else None

    def toggle_scale(self) -> None:
        """Show all rows on one scale, or each on its own; for views that have scales."""

    def order_changed(self) -> None:
        """Other layers are shown, or in another order."""

    def choose(self, layer: int | None) -> None:
        """Put the cursor on a layer, and keep it there while the rows change, until somebody moves it."""
        self._follow_order()
        self._aim = layer
        self.update()

    @property
    def chosen(self) -> int | None:
        """The layer that the cursor is on, or that it was put on where it is not to be seen."""
        return self._aim if self._aim is not None else self.layer_at(self.cursor)

    @property
    def longest_name(self) -> int:
        """Cells of the longest layer name."""
        names, cells = self._longest_name
        if names is not self.order.names:
            names = self.order.names
            cells = max(map(cell_len, names), default=0)
            self._longest_name = names, cells
        return cells

    # -- what is shown -------------------------------------------------------------------------

    @property
    def num_header_rows(self) -> int:
        """Rows of the header that there is room for."""
        return self.HEADER_ROWS if self.size.height >= _LEAST_HEIGHT_FOR_HEADER else 0

    @property
    def num_body_rows(self) -> int:
        """Rows of the screen below the header."""
        return max(0, self.size.height - self.num_header_rows)

    def update(self) -> None:
        """Show the state as it is now; redraws the visible rows that differ."""
        self._follow_order()
        self._measure()
        before, before_from = self._rows, self._rows_from
        self._build()
        if before_from != self._rows_from or len(before) != len(self._rows):
            self._strips.clear()
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, self._rows, strict=True)) if old != new]
        self._redraw(*changed)

    def _follow_order(self) -> None:
        """Start again where other layers are shown than before."""
        self.order.follow()
        if self.order.version != self._order_version:
            self._order_version = self.order.version
            self._aim = None
            self.order_changed()
            self._strips.clear()
            self._rows = []
            self.refresh()

    def _measure(self) -> None:
        """Tell the layout how much room is wanted, and the scroll bar how much there is to scroll."""
        if self.wanted_height != self._wanted_height:
            self._wanted_height = self.wanted_height
            self.refresh(layout=True)
        self.virtual_size = Size(0, self.num_header_rows + self.num_rows)
        row = None if self._aim is None else self.row_of(self._aim)
        self.cursor = max(0, min(self.cursor if row is None else row, self.num_rows - 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The height that the style sheet's ``auto`` stands for."""
        return self._wanted_height

    def _build(self) -> None:
        """Make the rows that are on the screen now."""
        self._rows_from = self.scroll_offset.y
        header = self.header() if self.num_header_rows else []
        self._rows = [*header, *self.rows(self._rows_from, self.num_body_rows)]

    def forget(self) -> None:
        """Draw every row again."""
        self._rows = []
        self._strips.clear()
        self.refresh()

    def row(self, y: int, width: int) -> Strip:
        """Draw one row of the screen, from memory if it is still the same."""
        if self.scroll_offset.y != self._rows_from or not self._rows:
            self._build()  # scrolled since the last update
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            runs: Runs = self._rows[y] if y < len(self._rows) else ()
            strip = self.strip(runs, width)
            if self.HAS_CURSOR and self.has_focus and runs and y == self._y_of(self.cursor):
                strip = strip.apply_style(self.role("cursor"))
            if y < len(self._rows):
                self._strips[y] = strip
        return strip

    def forget_strips(self) -> None:
        """Draw every row again when it is next needed."""
        self._strips.clear()

    def _y_of(self, row: int) -> int:
        return self.num_header_rows + row - self._rows_from

    def _redraw(self, *ys: int) -> None:
        for y in ys:
            self._strips.pop(y, None)
        regions = [Region(0, y, self.size.width, 1) for y in ys if 0 <= y < self.size.height]
        if regions:
            self.refresh(*regions)

    # -- moving about --------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Draw for the new width."""
        self.forget()
        self.update()

    def on_focus(self) -> None:
        """The cursor appears."""
        self._redraw(self._y_of(self.cursor))

    def on_blur(self) -> None:
        """The cursor disappears."""
        self._redraw(self._y_of(self.cursor))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other rows are visible."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._strips.clear()
            self.refresh()

    def watch_cursor(self, old: int, new: int) -> None:
        """Keep the cursor on the screen, below the header."""
        self._redraw(self._y_of(old), self._y_of(new))
        self.scroll_to_region(Region(0, new, 1, 1 + self.num_header_rows), animate=False, force=True)

    def action_move(self, rows: int) -> None:
        """Move the cursor, or scroll where there is none."""
        if self.HAS_CURSOR:
            self._aim = None
            self.cursor = max(0, min(self.cursor + rows, self.num_rows - 1))
        else:
            self.scroll_relative(y=rows, animate=False)

    def action_page(self, pages: int) -> None:
        """Move by whole screens."""
        self.action_move(pages * max(1, self.num_body_rows - 1))

    def action_open(self) -> None:
        """Open the layer under the cursor."""
        layer = self.layer_at(self.cursor)
        if layer is not None:
            self.post_message(self.Opened(layer))

    def on_click(self, event: events.Click) -> None:
        """Choose a row; a click on the chosen row opens it."""
        row = self.scroll_offset.y + event.y - self.num_header_rows
        if not self.HAS_CURSOR or event.y < self.num_header_rows or row >= self.num_rows:
            return
        if row == self.cursor:
            self.action_open()
            return
        self._aim = None
        self.cursor = row
