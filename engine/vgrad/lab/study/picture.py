"""A picture of an experiment: a line for every method, a dot for every seed. Plain SVG, no library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

from vgrad.lab.study.plan import CONTROL, Experiment, Run
from vgrad.lab.study.run import Result
from vgrad.lab.study.table import TableRow

_LABELS, _PLOT, _WORDS = 230, 460, 130  # widths of the three columns, in pixels
_WIDTH = _LABELS + _PLOT + _WORDS
_TOP, _LINE, _BOTTOM = 64, 22, 46
_RADIUS = 4

# Colour-blind safe (Okabe & Ito 2008); the word beside the line says the same.
_COLORS = {
    "helped": "#0072b2",
    "did nothing": "#7f7f7f",
    "did harm": "#d55e00",
    "could not tell": "#cc79a7",
    None: "#000000",
}


def draw_experiment(experiment: Experiment, rows: list[TableRow], done: Mapping[Run, Result]) -> str:
    """Return the SVG of an experiment: what is compared, on a log axis.

    A hollow dot at the right edge is a run that failed: not finite, or never solved.

    Args:
        experiment: What was run.
        rows: Its rows, at least one.
        done: The finished runs.
    """
    protocol = experiment.protocol
    values = {row.method: _values(experiment, row.method, done) for row in rows}
    axis = _Axis([value for found in values.values() for value in found])
    height = _TOP + _LINE * len(rows) + _BOTTOM
    size = f'width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">',
        f"<title>{escape(protocol.name)}</title>",
        f'<rect {size} fill="#ffffff"/>',
        _text(12, 24, protocol.name, size=16),
        _text(12, 44, experiment.shows, size=11),
    ]
    bottom = height - _BOTTOM
    for tick in axis.ticks:
        x = axis.place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>')
        parts.append(_text(x, bottom + 16, f"{tick:g}", anchor="middle"))
    measure = "updates to solve" if protocol.stops else "validation loss"
    parts.append(_text(_LABELS + _PLOT / 2, bottom + 36, f"{measure}; a dot is a seed", anchor="middle"))
    for index, row in enumerate(rows):
        parts += _line(row, values[row.method], axis, _TOP + _LINE * index + _LINE / 2)
    return "\n".join([*parts, "</svg>", ""])


def _line(row: TableRow, values: list[float], axis: _Axis, y: float) -> list[str]:
    color = _COLORS[row.outcome]
    parts = [_text(_LABELS - 14, y + 4, row.method, anchor="end")]
    for value in values:
        x, is_finite = axis.place(value), math.isfinite(value)
        fill = f'fill="{color}" fill-opacity="0.6"' if is_finite else 'fill="none"'
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="{_RADIUS}" {fill} stroke="{color}"/>')
    x = axis.place(sorted(values)[len(values) // 2])
    parts.append(
        f'<line x1="{x:.1f}" y1="{y - 8}" x2="{x:.1f}" y2="{y + 8}" stroke="{color}" stroke-width="2"/>'
    )
    parts.append(_text(_LABELS + _PLOT + 14, y + 4, row.outcome or "", color=color))
    return parts


def _values(experiment: Experiment, method: str, done: Mapping[Run, Result]) -> list[float]:
    """What is compared, seed by seed; infinite for a run that failed."""
    protocol = experiment.protocol
    [wanted] = [m for m in (CONTROL, *experiment.methods) if m.name == method]
    found = [done.get(Run(protocol, wanted, seed)) for seed in range(experiment.num_seeds)]
    return [math.inf if math.isnan(value) else value for r in found if r for value in [r.judged(protocol)]]


class _Axis:
    """A log axis over the finite values, with room at its right end for the others."""

    def __init__(self, values: list[float]) -> None:
        logs = [math.log10(value) for value in values if 0 < value < math.inf] or [0.0]
        low, high = min(logs), max(logs)
        room = max(0.05 * (high - low), 0.02)
        self._low, self._high = low - room, high + room
        self._has_edge = any(math.isinf(value) for value in values)
        self.ticks = _ticks(self._low, self._high)

    def place(self, value: float) -> float:
        """Where ``value`` is, in pixels from the left; what is 0 is at the left end."""
        if math.isinf(value):
            return _LABELS + _PLOT
        room = 30 if self._has_edge else 0
        log = math.log10(value) if value > 0 else self._low
        return _LABELS + (_PLOT - room) * (log - self._low) / (self._high - self._low)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two powers of ten: decades, or 1-2-5, or the two ends where there is neither."""
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        decades = range(math.floor(low), math.ceil(high) + 1)
        found = [digit * 10.0**decade for decade in decades for digit in digits]
        inside = [value for value in found if low <= math.log10(value) <= high]
        if len(inside) >= 3:
            return inside
    return [float(f"{10**end:.3g}") for end in (low, high)]


def _text(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", color: str = "#000000"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}">'
        f"{escape(text)}</text>"
    )
