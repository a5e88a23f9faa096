"""The heat map: gradient by depth and time, every layer and every step at one glance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from rich.cells import set_cell_size
from textual import events

from vgrad.measure.depth_profile import depth_slope, first_to_last
from vgrad_tui.draw.axes import step_ticks
from vgrad_tui.draw.fit_text import fit
from vgrad_tui.draw.heat_cells import (
    GLYPHS,
    RAMP,
    Grid,
    HeatColumns,
    Ints,
    bin_starts,
    codes_of,
    stretch,
)
from vgrad_tui.draw.numbers import count, number
from vgrad_tui.draw.runs import Field, Runs
from vgrad_tui.draw.sparklines import Decades, decades_of
from vgrad_tui.state.layer_order import LayerOrder
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.view import View

_ROLES = ["dim", "dim", "bad", "bad", *(f"heat-{level}" for level in range(len(RAMP)))]  # by code
_KINDS = np.array([_ROLES.index(role) for role in _ROLES])  # the same for codes of the same role
_NUMBER = 9  # cells of the newest value, where there is room for it
_LEAST_WIDTH_FOR_NUMBER = 64
_LEAST_WIDTH_FOR_WORDS = 100


class HeatMap(View):
    """Rows are layers by depth, columns steps, a cell's character and colour the decade of its gradient.

    Where there are more layers than rows, a row stands for a bin of neighbours; opening it unfolds
    all bins, and esc folds them again.

    Args:
        state: The run.
        order: The layers that are shown; the map keeps them in the model's order.
        steps_shown: First and last step on the axis.
    """

    NAME = "heat"
    HEADER_ROWS = 1

    def __init__(self, state: State, order: LayerOrder, steps_shown: Callable[[], tuple[int, int]]) -> None:
        super().__init__(state, order)
        self._steps_shown = steps_shown
        self._columns = HeatColumns()
        self._layers: Ints = np.zeros(0, dtype=np.int64)
        self._is_folded = True
        self._shares_scale = True
        self._scale: Decades | None = None
        self._steps_per_column = 1

    # -- rows and layers -----------------------------------------------------------------------

    @property
    def num_rows(self) -> int:
        """Bins while folded, else layers."""
        return min(len(self._layers), max(1, self.num_body_rows)) if self._is_folded else len(self._layers)

    @property
    def wanted_height(self) -> int:
        """Room for every layer."""
        return self.HEADER_ROWS + len(self._layers)

    def order_changed(self) -> None:
        """Depth is the model's order, whatever the table is sorted by."""
        self._layers = self.order.by_depth()
        self._columns = HeatColumns()  # the layers may be those of another part

    def layer_at(self, row: int) -> int | None:
        """The first layer of the row's bin."""
        return int(self._layers[self._starts()[row]]) if 0 <= row < self.num_rows else None

    def row_of(self, layer: int) -> int | None:
        """The row whose bin holds the layer."""
        found = np.flatnonzero(self._layers == layer)
        return int(np.searchsorted(self._starts(), found[0], side="right")) - 1 if len(found) else None

    def _starts(self) -> Ints:
        return bin_starts(len(self._layers), max(1, self.num_rows))

    @property
    def _is_binned(self) -> bool:
        return self.num_rows < len(self._layers)

    # -- what the title row shows --------------------------------------------------------------

    def title(self) -> list[Field]:
        """The legend, what a cell stands for, and two numbers on the depth."""
        record = self.state.record
        if record is None:
            return [(9, [("no steps yet", "dim")])]
        norms, sizes = record.grad_norms, self.state.layer_sizes
        is_narrow = self.size.width < _LEAST_WIDTH_FOR_WORDS
        steps = f"{count(self._steps_per_column)} step{'s' if self._steps_per_column > 1 else ''}"
        layers = f"{-(-len(self._layers) // self.num_rows):,} layers" if self._is_binned else ""
        of = layers if layers and is_narrow else f"{layers} × {steps}" if layers else steps
        ratio = first_to_last(norms, sizes)
        return [
            (10, self._legend()),
            (7, [("s " if is_narrow else "slope ", "dim"), (_per_layer(depth_slope(norms, sizes)), "text")]),
            (8, [("R " if is_narrow else "first/last ", "dim"), (_if_known(ratio), "text")]),
            (9 if self._is_binned else 5, [(f"max of {of}", "dim")]),
        ]

    def _legend(self) -> Runs:
        ramp = [(glyph, f"heat-{level}") for level, glyph in enumerate(RAMP)]
        if not self._shares_scale:
            return [("rms low ", "dim"), *ramp, (" high, each its own", "dim")]
        scale = self._scale or Decades(-1, 0)
        return [(f"rms 1e{scale.low} ", "dim"), *ramp, (f" 1e{scale.high}", "dim")]

    def column_titles(self) -> str:
        """Over the newest values."""
        return f"{'rms now':>{_NUMBER}} " if self.size.width >= _LEAST_WIDTH_FOR_NUMBER else ""

    # -- what is shown -------------------------------------------------------------------------

    def toggle_scale(self) -> None:
        """One scale for all layers, or one each: how each changes over time."""
        self._shares_scale = not self._shares_scale
        self.forget()

    def header(self) -> list[Runs]:
        """The axis of steps."""
        name, cells, _ = self._widths()
        first, last = self._steps_shown()
        return [[(" " * (name + 1), "text"), (_step_labels(first, last, cells), "dim")]]

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """A row per bin."""
        history, record, num_rows = self.state.layers, self.state.record, self.num_rows
        if not num_rows and self.order.filter:
            return [[("no layer matches; esc shows all", "dim")]]
        name_width, num_cells, number_width = self._widths()
        if history is None or record is None or not num_rows or num_cells < 2:
            return []
        starts = self._starts()[first : first + count]
        stop = self._starts()[first + count] if first + count < num_rows else len(self._layers)
        layers = self._layers[starts[0] : stop]
        grid = Grid.fit(history, *self._steps_shown(), num_cells)
        roots = np.sqrt(self.state.layer_sizes)
        values = self._columns.values(history, grid, layers, starts - starts[0], roots)
        self._steps_per_column = grid.width
        self._scale = decades_of(values)
        codes = codes_of(values, self._scale if self._shares_scale else None)
        codes = codes[:, stretch(grid.num_columns, num_cells)]
        now = np.maximum.reduceat((record.grad_norms / roots)[layers], starts - starts[0])
        sizes = np.diff(starts, append=stop)
        rows: list[Runs] = []
        for index, row in enumerate(codes):
            name = self.order.names[int(layers[starts[index] - starts[0]])]
            row_name = _bin_name(name, int(sizes[index]), name_width)
            runs = [(row_name, "text"), *_cells(row)]
            if number_width:
                runs.append((f"{number(float(now[index])):>{number_width}}", "text"))
            rows.append(runs)
        return rows

    def _widths(self) -> tuple[int, int, int]:
        """Cells of the name, of the map and of the number."""
        width = self.size.width
        number_width = _NUMBER if width >= _LEAST_WIDTH_FOR_NUMBER else 0
        name = max(6, min(self.longest_name + (6 if self._is_binned else 0), 32, width // 4))
        return name, max(0, width - name - 2 - number_width), number_width

    # -- moving about --------------------------------------------------------------------------

    def action_open(self) -> None:
        """Open a layer; of a bin, unfold it."""
        if not self._is_binned:
            super().action_open()
            return
        layer = self.layer_at(self.cursor)
        if layer is not None:
            self._fold(False, layer)

    def key_escape(self, event: events.Key) -> None:
        """Fold the layers into bins again."""
        layer = self.layer_at(self.cursor)
        if not self._is_folded and layer is not None:
            event.stop()
            self._fold(True, layer)

    def _fold(self, folded: bool, layer: int) -> None:
        self._is_folded = folded
        self.forget()
        self.choose(layer)


def _if_known(ratio: float) -> str:
    return "unknown" if math.isnan(ratio) else number(ratio).strip()


def _per_layer(depth_slope: float) -> str:
    return "unknown" if math.isnan(depth_slope) else f"{depth_slope:+.2f}/layer"


def _bin_name(name: str, num_layers: int, width: int) -> str:
    rest = f" +{num_layers - 1:,}" if num_layers > 1 else ""
    return set_cell_size(fit(name, max(1, width - len(rest))) + rest, width + 1)


def _cells(codes: Ints) -> list[tuple[str, str]]:
    """A row of the map as runs of one role each."""
    text = "".join(GLYPHS[codes])
    ends = [*(np.flatnonzero(np.diff(_KINDS[codes])) + 1).tolist(), len(codes)]
    starts = [0, *ends[:-1]]
    return [(text[start:end], _ROLES[int(codes[start])]) for start, end in zip(starts, ends, strict=True)]


def _step_labels(first: int, last: int, num_cells: int) -> str:
    """Round steps where they stand, those that do not touch."""
    labels = " " * num_cells
    num = num_cells // (len(f"{last:,}") + 6)
    for step, label in step_ticks(first, last, num):
        start = int((step - first) / max(1, last - first + 1) * num_cells)
        end = start + len(label) + 1
        if end - 1 <= num_cells and not labels[max(0, start - 1) : end].strip():
            labels = f"{labels[:start]}╵{label}{labels[end:]}"[:num_cells] if end <= num_cells else labels
    return labels
