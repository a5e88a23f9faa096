"""Charts as rows of (text, role) runs. The only module that knows plotext.

plotext draws the curves, in braille dots; axes, marks and labels are laid around and over
them as text. All that is drawn is first placed on the canvas's own columns and rows, and
thinned out to at most three points per column, because plotext takes its time by the point.
It draws on one figure of its own, so charts are drawn in one thread, the screen's.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vgrad_tui.draw.axes import Tick, ValueAxis, nice_range, step_ticks
from vgrad_tui.draw.braille import Curve, Float64s, band, line

__all__ = ["LossChart", "Role", "SeriesChart", "draw_loss", "draw_series", "draw_through_time", "nice_range"]

Role = Literal["axis", "raw", "smooth", "val", "mark", "mark-label", "text", "plain", "bad"]
ChartRow = list[tuple[str, str]]

_FULL = 0xFF
_PATTERNS = [chr(0x2800 + bits) for bits in range(_FULL + 1)]  # of braille, by the bits of their dots
_PEN_ROLES: tuple[Role, ...] = ("plain", "raw", "smooth", "val")  # by plotext's colour number
_CURVE_ROLES: tuple[Role, ...] = ("smooth", "val", "raw", "plain")  # of several curves, in turn
_MIN_WIDTH_FOR_VALUES = 20
_MIN_HEIGHT_FOR_STEPS = 4
_COLOUR = re.compile(r"\x1b\[([\d;]*)m")


@dataclass(frozen=True, slots=True, eq=False)
class SeriesChart:
    """A quantity over the steps.

    Attributes:
        steps: Ascending positions of the points, shape ``(n,)``; one or two per column are enough.
        raw_min: Smallest value that each point stands for, shape ``(n,)``.
        raw_max: Largest value, shape ``(n,)``. Where these or the mean are not finite, the chart
            says so with ``×`` on top of the column.
        mean: Mean value, drawn as a line over the raw band; shape ``(n,)``.
        marks: Step and label (plain print) of what happened, oldest first.
        log: Whether the value axis is logarithmic; then values <= 0 stand at its lower end.
        first: Step at the left end.
        last: Step at the right end.
    """

    steps: NDArray[np.floating[Any]]
    raw_min: NDArray[np.floating[Any]]
    raw_max: NDArray[np.floating[Any]]
    mean: NDArray[np.floating[Any]]
    marks: tuple[tuple[int, str], ...]
    log: bool
    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class LossChart:
    """The loss over the steps.

    Attributes:
        steps: As in `SeriesChart`, and so are ``raw_min``, ``raw_max``, ``marks``, ``log``,
            ``first`` and ``last``.
        smooth: The smoothed loss, drawn over the raw one and never instead of it; shape ``(n,)``.
        val_steps: Steps of the validations, ascending, shape ``(m,)``.
        val_losses: Their losses, shape ``(m,)``.
    """

    steps: NDArray[np.floating[Any]]
    raw_min: NDArray[np.floating[Any]]
    raw_max: NDArray[np.floating[Any]]
    smooth: NDArray[np.floating[Any]]
    val_steps: NDArray[np.floating[Any]]
    val_losses: NDArray[np.floating[Any]]
    marks: tuple[tuple[int, str], ...]
    log: bool
    first: int
    last: int


def draw_series(chart: SeriesChart, width: int, height: int) -> list[ChartRow]:
    """Draw one quantity, as `draw_loss` draws the loss."""
    nothing = np.empty(0)
    loss = LossChart(
        chart.steps, chart.raw_min, chart.raw_max, chart.mean, nothing, nothing,
        chart.marks, chart.log, chart.first, chart.last,
    )  # fmt: skip
    return draw_loss(loss, width, height)


def draw_loss(chart: LossChart, width: int, height: int) -> list[ChartRow]:
    """Draw the loss in ``width`` x ``height`` cells.

    On a logarithmic axis what is exactly zero is a ``·`` at the bottom. Small charts go without the
    values (below 20 columns) and the steps (below 4 rows) beside the axes.

    Returns:
        ``height`` rows of (text, role) runs of ``width`` cells each; roles are those of `Role`.
    """
    if width < 1 or height < 1:
        return []
    low, high, smooth, val = (
        np.asarray(values, dtype=np.float64)
        for values in (chart.raw_min, chart.raw_max, chart.smooth, chart.val_losses)
    )
    axis = ValueAxis.holding(np.concatenate((low, high, val)), log=chart.log)
    num_rows = height - 2 if height >= _MIN_HEIGHT_FOR_STEPS else height
    ticks = axis.ticks((num_rows + 1) // 3) if width >= _MIN_WIDTH_FOR_VALUES else []
    margin = max((len(label) for _, label in ticks), default=-1) + 1
    canvas = _Canvas(width - margin, num_rows, chart.first, chart.last)
    columns = canvas.column(chart.steps)
    finite = np.isfinite(low) & np.isfinite(high) & np.isfinite(smooth)
    zero = (low == 0) & (high == 0) & chart.log  # has no place on such an axis
    area = band(columns, finite & ~zero, axis.place(low), axis.place(high), (num_rows, canvas.num_columns))
    canvas.curve("smooth", line(columns, finite & ~zero, axis.place(smooth)))
    val_columns = canvas.column(chart.val_steps)
    canvas.dots("val", val_columns[np.isfinite(val)], axis.place(val[np.isfinite(val)]))
    canvas.paint()
    canvas.lay_area(area)
    canvas.lay_zeros(np.unique(columns[zero].astype(int)).tolist())
    bad_columns = np.concatenate((columns[~finite], val_columns[~np.isfinite(val)]))
    canvas.lay_bad(np.unique(bad_columns.astype(int)).tolist())
    canvas.lay_marks(chart.marks)
    rows = _beside_values(canvas.rows(), ticks, margin)
    return rows + _steps_below(canvas, margin) if height >= _MIN_HEIGHT_FOR_STEPS else rows


def draw_through_time(norms: NDArray[np.floating[Any]], width: int, height: int) -> list[ChartRow]:
    """Draw ‖dE/dh_t‖ on a log axis against t, the first input step on the left.

    Of several curves each carries its number, counted from 1. Where a norm is not finite ``×``
    stands on top of its column, and where one is exactly zero ``·`` at the bottom.

    Args:
        norms: A curve per row, shape ``(num_layers, seq_len)``.
        width: Cells.
        height: Rows.

    Returns:
        As `draw_loss` does.
    """
    if width < 1 or height < 1:
        return []
    values = np.asarray(norms, dtype=np.float64)
    axis = ValueAxis.holding(values.ravel(), log=True)
    num_rows = height - 2 if height >= _MIN_HEIGHT_FOR_STEPS else height
    ticks = axis.ticks((num_rows + 1) // 3) if width >= _MIN_WIDTH_FOR_VALUES else []
    margin = max((len(label) for _, label in ticks), default=-1) + 1
    canvas = _Canvas(width - margin, num_rows, 0, values.shape[1] - 1)
    columns = canvas.column(np.arange(values.shape[1]))
    drawable = np.isfinite(values) & (values > 0)
    heights = axis.place(values)
    for index in range(len(values)):
        role = _CURVE_ROLES[index % len(_CURVE_ROLES)]
        canvas.curve(role, line(columns, drawable[index], heights[index]))
    canvas.paint()
    canvas.lay_zeros(np.unique(columns[(values == 0).any(axis=0)].astype(int)).tolist())
    canvas.lay_bad(np.unique(columns[~np.isfinite(values).all(axis=0)].astype(int)).tolist())
    if len(values) > 1:
        for index in range(len(values)):
            canvas.lay_number(index, columns[drawable[index]], heights[index][drawable[index]], len(values))
    rows = _beside_values(canvas.rows(), ticks, margin)
    return rows + _steps_below(canvas, margin) if height >= _MIN_HEIGHT_FOR_STEPS else rows


class _Canvas:
    """The cells within the axes. Horizontal positions are columns; heights are shares of the height."""

    def __init__(self, num_columns: int, num_rows: int, first: int, last: int) -> None:
        self.num_columns = num_columns
        self.num_rows = num_rows
        self.first = first
        self.last = last
        self._figure = _figure()
        self._figure.clear()
        self._figure.theme("colorless")
        self._figure.axes(False)
        self._figure.plot_size(num_columns, num_rows)
        for ruler, end in (("x", num_columns), ("y", num_rows)):
            self._figure.ruler(ruler).lim(0, end).alignment(lim="edge").frequency(0)
        self._cells: list[list[str]] = []
        self._roles: list[list[Role]] = []

    def column(self, steps: ArrayLike) -> Float64s:
        """Columns, with fractions, where ``steps`` stand; those outside the range at its ends."""
        share = (np.asarray(steps, dtype=np.float64) - self.first) / max(1, self.last - self.first)
        return np.clip(share * self.num_columns, 0.0, self.num_columns - 0.01)

    def curve(self, role: Role, curve: Curve) -> None:
        """Draw a line of braille dots."""
        if not len(curve.columns):
            return
        signal = self._signal("braille", role, curve.columns, curve.heights)
        signal.lines(True)
        for index in np.flatnonzero(~curve.joined).tolist():
            signal.line(index, False)
        self._figure.draw(signal)

    def dots(self, role: Role, columns: Float64s, heights: Float64s) -> None:
        """Draw a diamond at the last point of each column."""
        if not len(columns):
            return
        _, newest = np.unique(np.floor(columns)[::-1], return_index=True)
        chosen = len(columns) - 1 - newest
        self._figure.draw(self._signal("◆", role, columns[chosen], heights[chosen]))

    def _signal(self, marker: str, role: Role, columns: Float64s, heights: Float64s) -> Any:
        plt = _plotext()
        pen = plt.marker(marker, plt.pixel(foreground=_PEN_ROLES.index(role)))
        rows = np.clip(heights * self.num_rows, 0.01, self.num_rows - 0.01)
        return self._figure.signal(columns.tolist(), rows.tolist(), marker=pen)

    def paint(self) -> None:
        """Let plotext draw, and take its characters and colours apart."""
        for drawn in self._figure.build().string().splitlines()[: self.num_rows]:
            cells: list[str] = []
            roles: list[Role] = []
            pieces = _COLOUR.split(drawn)  # text, colour, text, colour, ... text
            for colour, text in zip(["", *pieces[1::2]], pieces[::2], strict=True):
                _, _, number = colour.rpartition("38;5;")
                cells += text
                roles += [_PEN_ROLES[int(number or 0)]] * len(text)
            self._cells.append(cells)
            self._roles.append(roles)

    def lay_area(self, area: NDArray[np.uint8]) -> None:
        """Put an area behind what has been drawn; a curve in it stays a line."""
        for cells, roles, row in zip(self._cells, self._roles, area.tolist(), strict=True):
            for column, bits in enumerate(row):
                if not bits:
                    continue
                cell = cells[column]
                if cell == " ":
                    cells[column] = _PATTERNS[bits]
                    roles[column] = "raw"
                elif bits != _FULL and _PATTERNS[0] <= cell <= _PATTERNS[_FULL]:
                    cells[column] = chr(ord(cell) | bits)

    def lay_bad(self, columns: list[int]) -> None:
        """Say at the top of these columns that something there was not finite."""
        for column in columns:
            self._lay(0, column, "×", "bad")

    def lay_zeros(self, columns: list[int]) -> None:
        """Say at the bottom of these columns that something there was exactly zero."""
        for column in columns:
            self._lay(self.num_rows - 1, column, "·", "bad")

    def lay_number(self, index: int, columns: Float64s, heights: Float64s, num_curves: int) -> None:
        """Write a curve's number onto it, each curve's at another place."""
        if len(columns):
            point = len(columns) * (index + 1) // (num_curves + 1)
            row = min(self.num_rows - 1, int((1 - heights[point]) * self.num_rows))
            self._lay(row, int(columns[point]), f"{index + 1}"[-1], "text")

    def lay_marks(self, marks: tuple[tuple[int, str], ...]) -> None:
        """Draw a dashed line behind the curves at each mark, and its label wherever there is room.

        The newest chooses its place first; a label that finds none is left out.
        """
        shown = [(int(self.column(step)), label) for step, label in marks if self.first <= step <= self.last]
        for column, _ in shown:
            for row in range(self.num_rows):
                if self._cells[row][column] == " ":
                    self._lay(row, column, "╎", "mark")
        for column, label in reversed(shown):
            if label:
                self._lay_label(column, label)

    def _lay_label(self, column: int, label: str) -> None:
        """Beside ``column``, in the highest row that is free: on its right, or else on its left."""
        text = f" {label} "
        starts = [
            start for start in (column + 1, column - len(text)) if 0 <= start <= self.num_columns - len(text)
        ]
        for coverable in (" ", " ╎"):  # over another mark's line only where there is no other room
            for row, start in product(range(self.num_rows), starts):
                if all(cell in coverable for cell in self._cells[row][start : start + len(text)]):
                    self._lay(row, start, text, "mark-label")
                    return

    def _lay(self, row: int, column: int, text: str, role: Role) -> None:
        self._cells[row][column : column + len(text)] = text
        self._roles[row][column : column + len(text)] = [role] * len(text)

    def rows(self) -> list[ChartRow]:
        """The cells as runs of one role each."""
        rows: list[ChartRow] = []
        for cells, roles in zip(self._cells, self._roles, strict=True):
            runs: ChartRow = []
            start = 0
            for role, run in groupby(roles):
                stop = start + len(list(run))
                runs.append(("".join(cells[start:stop]), role))
                start = stop
            rows.append(runs)
        return rows


def _beside_values(rows: list[ChartRow], ticks: list[Tick], margin: int) -> list[ChartRow]:
    """Put the value axis on the left of the canvas's rows."""
    if not margin:
        return rows
    labels = {min(len(rows) - 1, int((1 - share) * len(rows))): label for share, label in ticks}
    return [
        [
            (labels.get(index, "").rjust(margin - 1), "text"),
            ("┤" if index in labels else "│", "axis"),
            *row,
        ]
        for index, row in enumerate(rows)
    ]


def _steps_below(canvas: _Canvas, margin: int) -> list[ChartRow]:
    """The step axis and its labels, those that do not touch."""
    width = len(f"{canvas.last:,}")
    line, labels = ["─"] * canvas.num_columns, " " * canvas.num_columns
    for step, label in step_ticks(canvas.first, canvas.last, canvas.num_columns // (width + 4)):
        column = int(canvas.column(step))
        start = min(max(0, column - len(label) // 2), canvas.num_columns - len(label))
        end = start + len(label)
        if start >= 0 and not labels[max(0, start - 1) : end + 1].strip():
            line[column] = "┬"
            labels = f"{labels[:start]}{label}{labels[end:]}"
    corner = "└" if margin else ""
    return [
        [(" " * (margin - 1), "text"), (corner + "".join(line), "axis")],
        [(" " * margin + labels, "text")],
    ]


def warm_up() -> None:
    """Import plotext now, so that the first chart need not wait for it. Any thread may do it."""
    _plotext()


@cache
def _plotext() -> Any:
    """plotext, imported when the first chart is drawn: that takes a twentieth of a second.

    It would be three times as long if plotext wrote its own documentation meanwhile, which nobody reads here.
    """
    without_documentation = ModuleType("plotext._doc.doc")
    vars(without_documentation)["docs"] = None
    sys.modules.setdefault(without_documentation.__name__, without_documentation)
    import plotext

    plotext.terminal.limit(False, False)  # or it cuts every chart to the real terminal's size
    return plotext


def _figure() -> Any:
    return _plotext().figure
