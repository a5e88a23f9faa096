"""The base of every widget that draws: rows of (text, role) runs, one role per meaning.

A widget says what its rows are; only rows that differ from the last ones are drawn again.
Text is data throughout: it is never parsed as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.screen import Screen, ScreenResultType
from textual.strip import Strip
from textual.widget import Widget

from vgrad_tui.draw.runs import Runs

HEAT_ROLES = tuple(f"heat-{level}" for level in range(8))
ROLES = (
    *("text", "dim", "strong", "good", "warn", "bad", "accent", "key"),
    *("axis", "raw", "smooth", "val", "mark", "mark-label", "plain", "title", "cursor"),
    *HEAT_ROLES,
)

# Colour systems in which a tint differs from the colour that it is made of.
_TINTING_SYSTEMS = ("256", "truecolor")

ROLE_CLASSES = {f"role--{role}" for role in ROLES}


class StyledScreen(Screen[ScreenResultType]):
    """A screen that knows how every role looks: styled once there, not once in each widget."""

    COMPONENT_CLASSES = ROLE_CLASSES


class Roles(Widget if TYPE_CHECKING else object):  # type: ignore[misc]
    """Mixed into a widget that draws rows, each part of them in a role of its screen's palette.

    Such a widget has no border and no padding, and its rows are finished strips, so they go to
    the compositor as they are: passing them through Textual's cache of styles, cell by cell,
    took a third of all drawing.
    """

    ALLOW_SELECT = False

    _styles_of_roles: dict[str, Style] | None = None

    def role(self, name: str) -> Style:
        """The style of a role in the current theme, on this widget's background."""
        if self._styles_of_roles is None:
            styles = self._resolved_styles()
            # Filtered once here: row by row it was a quarter of all that the screen's thread does.
            background = self.background_colors[1]
            for line_filter in self.get_line_filters():
                segments = line_filter.apply([Segment(" ", style) for style in styles.values()], background)
                styles = {
                    role: segment.style or Style.null()
                    for role, segment in zip(styles, segments, strict=True)
                }
            self._styles_of_roles = styles
        return self._styles_of_roles[name]

    def _resolved_styles(self) -> dict[str, Style]:
        here = Style(bgcolor=self.rich_style.bgcolor)
        palette = {role: self.screen.get_component_rich_style(f"role--{role}") for role in ROLES}
        styles = {role: style + here for role, style in palette.items()}
        styles["cursor"] = palette["cursor"]  # a background is what it is
        if self.app.console.color_system in _TINTING_SYSTEMS:
            tinted = {role: palette[role] for role in HEAT_ROLES if palette[role].bgcolor is not None}
            # Themes of the terminal's own colours know no tints: there the two are the same.
            styles |= {role: style for role, style in tinted.items() if style.color != style.bgcolor}
        return styles

    def strip(self, runs: Runs, width: int) -> Strip:
        """Draw runs as one row of exactly ``width`` cells, cut or padded."""
        segments = []
        used = 0
        for text, role in runs:
            if text:
                segments.append(Segment(text, self.role(role)))
                used += cell_len(text)
        if used < width:
            segments.append(Segment(" " * (width - used), self.role("text")))
        strip = Strip(segments, max(used, width))
        if used > width:
            strip = strip.crop(0, width)
        return strip

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows within ``crop``, straight to the compositor."""
        style, width = self.role("text"), self.size.width
        return [self.row(y, width).crop_extend(crop.x, crop.right, style) for y in range(crop.y, crop.bottom)]

    def row(self, y: int, width: int) -> Strip:
        """Draw one row of exactly ``width`` cells, the widget's own: to ask for it row by row takes long."""
        raise NotImplementedError

    def notify_style_update(self) -> None:
        """The theme has changed: draw everything again."""
        super().notify_style_update()
        self._styles_of_roles = None
        self.forget_strips()

    def forget_strips(self) -> None:
        """Draw every row again when it is next needed; for widgets that keep drawn rows."""


class Lines(Roles, Widget):
    """A widget of a few rows, given whole with `show` and drawn by difference."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: list[Runs] = []
        self._strips: dict[int, Strip] = {}

    def show(self, rows: list[Runs]) -> None:
        """Show these rows from now on; redraws what differs."""
        width, height = self.size
        before, self._rows = self._rows, rows
        dirty = []
        for y in range(max(len(rows), len(before))):
            if y >= len(rows) or y >= len(before) or rows[y] != before[y]:
                self._strips.pop(y, None)
                if y < height:
                    dirty.append(Region(0, y, width, 1))
        if dirty:
            self.refresh(*dirty)

    def forget_strips(self) -> None:
        """Draw every row again when it is next needed."""
        self._strips.clear()

    def row(self, y: int, width: int) -> Strip:
        """Draw one row, from memory if it is still the same."""
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            strip = self.strip(self._rows[y] if y < len(self._rows) else (), width)
            self._strips[y] = strip
        return strip
