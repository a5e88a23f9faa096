"""The base of every widget that draws: rows of (text, role) runs, one role per meaning.

A widget says what its rows are; only rows that differ from the last ones are drawn again.
Text is data throughout: it is never parsed as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

Runs = Sequence[tuple[str, str]]

ROLES = (
    *("text", "dim", "strong", "good", "warn", "bad", "accent", "key"),
    *("axis", "raw", "smooth", "val", "mark", "mark-label", "plain", "title", "cursor"),
)


ROLE_CLASSES = {f"role--{role}" for role in ROLES}


class Roles(Widget if TYPE_CHECKING else object):  # type: ignore[misc]
    """Mixed into a widget whose parts are styled by role; the style sheet says how a role looks.

    Set ``COMPONENT_CLASSES = ROLE_CLASSES`` beside it: Textual looks no further than a class's
    first base for them.
    """

    def role(self, name: str) -> Style:
        """The style of a role in the current theme."""
        style: Style = self.get_component_rich_style(f"role--{name}")
        return style

    def strip(self, runs: Runs, width: int) -> Strip:
        """Draw runs as one row of exactly ``width`` cells, cut or padded."""
        segments = [Segment(text, self.role(role)) for text, role in runs if text]
        return Strip(segments).adjust_cell_length(width, self.rich_style)


class Lines(Widget, Roles):
    """A widget of a few rows, given whole with `show` and drawn by difference."""

    COMPONENT_CLASSES = ROLE_CLASSES

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: list[Runs] = []
        self._strips: list[Strip] = []

    def show(self, rows: list[Runs]) -> None:
        """Show these rows from now on; redraws what differs."""
        if rows == self._rows:
            return
        width, height = self.size
        changed = [
            y
            for y in range(max(len(rows), len(self._rows)))
            if y >= len(rows) or y >= len(self._rows) or rows[y] != self._rows[y]
        ]
        self._rows = rows
        self._strips = []
        self.refresh(*(Region(0, y, width, 1) for y in changed if y < height))

    def notify_style_update(self) -> None:
        """The theme has changed: what was drawn is of no use."""
        super().notify_style_update()
        self._strips = []

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        width = self.size.width
        if not self._strips:
            self._strips = [self.strip(runs, width) for runs in self._rows]
        if y < len(self._strips) and self._strips[y].cell_length == width:
            return self._strips[y]
        runs = self._rows[y] if y < len(self._rows) else ()
        return self.strip(runs, width)


def width_of(runs: Runs) -> int:
    """Cells that runs take."""
    return sum(cell_len(text) for text, _ in runs)


def fit_fields(fields: Sequence[tuple[int, Runs]], width: int, gap: str = "  ") -> list[tuple[str, str]]:
    """Join as many fields as fit into ``width`` cells, in order.

    Args:
        fields: Priority (the highest stays longest) and runs of each; empty ones are left out.
        width: Cells that there are.
        gap: What stands between two fields.
    """
    kept = [(priority, runs) for priority, runs in fields if runs]
    while len(kept) > 1 and sum(width_of(runs) for _, runs in kept) + len(gap) * (len(kept) - 1) > width:
        lowest = min(priority for priority, _ in kept)
        position = max(index for index, (priority, _) in enumerate(kept) if priority == lowest)
        del kept[position]
    joined: list[tuple[str, str]] = []
    for index, (_, runs) in enumerate(kept):
        if index:
            joined.append((gap, "text"))
        joined.extend(runs)
    return joined


def rule(left: Runs, right: Runs, width: int) -> list[tuple[str, str]]:
    """A section's title row: ``left``, a line, ``right``; the right side goes first when narrow."""
    lead: list[tuple[str, str]] = [("─ ", "dim"), *left, (" ", "dim")]
    tail: list[tuple[str, str]] = [(" ", "dim"), *right, (" ─", "dim")] if right else []
    space = width - width_of(lead) - width_of(tail)
    if space < 1:
        tail, space = [], width - width_of(lead)
    return [*lead, ("─" * max(0, space), "dim"), *tail]
