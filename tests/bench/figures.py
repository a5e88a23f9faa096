"""What a benchmark reports: a figure, the limit it is held to, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: Dotted, stable from run to run, such as ``watching.gpt.ratio``.
        value: The median.
        unit: What it is counted in; ``x`` for a ratio.
        limit: The value promised, or None for a figure that only informs.
        at_least: Whether ``limit`` is a lower bound.
        low: Lower quartile of the repetitions, or None for a single measurement.
        high: Upper quartile.
        note: What one has to know to read it.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    low: float | None = None
    high: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok``, ``SHORT`` of the limit, or ``-`` where there is none."""
        if self.limit is None:
            return "-"
        holds = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "ok" if holds else "SHORT"

    def line(self) -> str:
        """``name value limit verdict``, for programs."""
        limit = "-" if self.limit is None else f"{self.limit:g}"
        return f"{self.name} {self.value:.6g} {limit} {self.verdict}"

    def row(self) -> tuple[str, ...]:
        """Cells of the table for people."""
        spread = "" if self.low is None or self.high is None else f"{self.low:.4g} .. {self.high:.4g}"
        bound = "" if self.limit is None else f"{'>=' if self.at_least else '<='} {self.limit:g}"
        return (self.name, f"{self.value:.4g} {self.unit}", spread, bound, self.verdict, self.note)


def table(figures: list[Figure]) -> str:
    """The figures in aligned columns, with a heading."""
    rows = [("figure", "median", "quartiles", "limit", "", ""), *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
