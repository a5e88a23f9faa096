"""What the script of a run has printed: the end of its log, which is followed while the view is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.cells import chop_cells

from vgrad.store.log import LogTail
from vgrad_tui.draw.numbers import safe
from vgrad_tui.draw.runs import Field, Runs
from vgrad_tui.state.layer_order import LayerOrder
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.view import View

_WANTED_HEIGHT = 100  # as much room as a view may have


class OutputView(View):
    """The end of a log. It stays at the last line unless somebody has scrolled up.

    Args:
        state: The run.
        order: The layers that the other views show.
        log: The file that the run's process prints into.
    """

    NAME = "output"
    HAS_CURSOR = False

    def __init__(self, state: State, order: LayerOrder, log: Path) -> None:
        super().__init__(state, order)
        self._log = LogTail(log)
        self._lines: list[str] = []
        self._width = 0
        self._wrapped: list[str] = []
        self._is_at_end = True

    @property
    def num_rows(self) -> int:
        """The lines, those that are wider than the screen on several rows."""
        return len(self._wrapped)

    @property
    def wanted_height(self) -> int:
        """All the room there is, so that the screen's layout does not change with each line."""
        return _WANTED_HEIGHT

    def title(self) -> list[Field]:
        """Whether the log is followed."""
        if self._is_at_end:
            return [(9, [("what the script prints", "dim")])]
        return [(9, [("end", "key"), (" goes to the last line, and follows it", "dim")])]

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """The lines, wrapped."""
        if not self._wrapped:
            return [[("it has printed nothing yet", "dim")]]
        return [[(line, "text")] for line in self._wrapped[first : first + count]]

    def layer_at(self, row: int) -> int | None:
        """None: rows are no layers."""
        return None

    def row_of(self, layer: int) -> int | None:
        """None: layers have no rows."""
        return None

    def update(self) -> None:
        """Read what is new, and show the last line unless somebody has scrolled up."""
        lines, width = self._log.lines(), self.scrollable_content_region.width
        if width and (lines != self._lines or width != self._width):
            self._lines, self._width = lines, width
            self._wrapped = [row for line in lines for row in _wrap(safe(line), width)]
        is_at_end = self._is_at_end  # more rows, or another height, may move what is shown
        self._measure()
        if is_at_end:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True, immediate=True)
        self._is_at_end = is_at_end
        super().update()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody has scrolled, or the height has changed."""
        super().watch_scroll_y(old_value, new_value)
        self._is_at_end = new_value >= self.max_scroll_y


def _wrap(line: str, width: int) -> list[str]:
    return [line] if len(line) <= width and line.isascii() else chop_cells(line, width) or [""]
