"""How large the single entries of each layer's gradient are: a histogram per layer, by decades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size

from vgrad.events.layer_stats import HISTOGRAM_DECADES
from vgrad_tui.draw.fit_text import fit
from vgrad_tui.draw.numbers import age, number, percent
from vgrad_tui.draw.runs import Field, Runs
from vgrad_tui.widgets.view import View

_BARS = " ▁▂▃▄▅▆▇█"
_LOW, _HIGH = HISTOGRAM_DECADES
_NUM_BINS = _HIGH - _LOW
_WIDEST_BIN = 6  # cells


@dataclass(frozen=True, slots=True)
class HistogramColumns:
    """Widths in cells; 0 for a column that there is no room for."""

    name: int
    bin: int
    zeros: int
    underflow: int
    largest: int
    age: int

    @property
    def numbers(self) -> int:
        """Of all numbers together."""
        return self.zeros + self.underflow + self.largest + self.age

    @classmethod
    def fit(cls, width: int, longest_name: int, *, is_float16: bool) -> HistogramColumns:
        """Share ``width`` out: names and bins take what the numbers leave."""
        zeros, largest = (7, 9) if width >= 44 else (0, 0)
        underflow = 11 if width >= 54 and is_float16 else 0
        age = 8 if width >= 72 else 0
        left = width - zeros - underflow - largest - age - 1
        name = max(6, min(longest_name, 32, left - _NUM_BINS - 1, width // 4))
        return cls(
            name, max(1, min(_WIDEST_BIN, (left - name - 1) // _NUM_BINS)), zeros, underflow, largest, age
        )


class HistogramView(View):
    """A ridge of blocks per layer over the decades of |g|, the share of exact zeros, the largest entry."""

    NAME = "histogram"
    TAB = "hist"
    HEADER_ROWS = 1

    def title(self) -> list[Field]:
        """What a ridge is, and how old the oldest is."""
        fields: list[Field] = [(9, [("entries by decade of |g|", "dim")])]
        stats, record = self.state.stats, self.state.record
        if stats is not None and record is not None and len(stats.entries_step):
            num_measured = int((stats.entries_step >= 0).sum())
            if num_measured < len(stats.entries_step):
                words = f"{num_measured:,} of {len(stats.entries_step):,} measured"
            else:
                words = f"measured up to {record.step - int(stats.entries_step.min()):,} steps ago"
            fields.append((8, [(words, "dim")]))
        fields.append((5, [("height: share of the layer's largest bin", "dim")]))
        return fields

    def column_titles(self) -> str:
        """Over the numbers."""
        columns = self._columns()
        titles = (
            ("zeros", columns.zeros),
            ("underflow", columns.underflow),
            ("max |g|", columns.largest),
            ("age", columns.age),
        )
        text = "".join(f"{title:>{width}}" for title, width in titles if width)
        return f"{text} " if text else ""

    def header(self) -> list[Runs]:
        """The axis: a bin begins at its label."""
        columns = self._columns()
        stride = -(-6 // columns.bin)  # bins per label of at most five cells and a gap
        labels = "".join(
            f"1e{decade}".ljust(stride * columns.bin) for decade in range(_LOW, _HIGH + 1, stride)
        )
        return [[(" " * (columns.name + 1), "text"), (labels[: self.size.width - columns.name - 1], "dim")]]

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """A ridge per layer, in the table's order."""
        visible = self.order.shown[first : first + count].tolist()
        if not visible and self.order.filter:
            return [[("no layer matches; esc shows all", "dim")]]
        columns, stats, record = self._columns(), self.state.stats, self.state.record
        left = columns.name + 1 + _NUM_BINS * columns.bin
        gap = " " * max(0, self.size.width - left - columns.numbers - 1)
        rows: list[Runs] = []
        for layer in visible:
            name = set_cell_size(fit(self.order.names[layer], columns.name), columns.name + 1)
            if stats is None or record is None or stats.entries_step[layer] < 0:
                rows.append([(name, "text"), ("not measured yet: each layer takes its turn", "dim")])
                continue
            if not stats.had_gradient[layer]:
                rows.append([(name, "text"), ("had no gradient when it was measured", "dim")])
                continue
            numbers = gap
            zeros = float(stats.zero_share[layer])
            if columns.zeros:
                numbers += f"{percent(zeros):>{columns.zeros}}"
            if columns.underflow:
                numbers += f"{percent(float(stats.underflow_share[layer])):>{columns.underflow}}"
            if columns.largest:
                numbers += f"{number(float(stats.grad_max[layer])):>{columns.largest}}"
            if columns.age:
                numbers += f"{age(record.step - int(stats.entries_step[layer])):>{columns.age}}"
            ridge = ridge_of(stats.histogram[layer], columns.bin)
            role = "text" if np.isfinite(stats.grad_max[layer]) else "bad"
            rows.append([(name, "text"), (ridge, "smooth"), (numbers, role)])
        return rows

    def _columns(self) -> HistogramColumns:
        return HistogramColumns.fit(self.size.width, self.longest_name, is_float16=self.state.is_float16)


def ridge_of(shares: NDArray[np.float32], cells_per_bin: int) -> str:
    """Bars of a histogram, the largest of full height; whatever is not exactly 0 is seen.

    Args:
        shares: Share of entries per bin, not negative; NaN where there is no gradient to count.
        cells_per_bin: Width of each bar.
    """
    if np.isnan(shares).any():
        return "×" * (len(shares) * cells_per_bin)
    largest = float(shares.max(initial=0.0))
    if largest <= 0:
        return "·" * (len(shares) * cells_per_bin)  # all entries are exact zeros
    levels = np.ceil(shares / largest * (len(_BARS) - 1)).astype(np.int64)
    return "".join(_BARS[level] * cells_per_bin for level in levels.tolist())
