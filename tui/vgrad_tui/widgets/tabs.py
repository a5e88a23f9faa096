"""The title row of the lower half: a tab per view, and the title of the view that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from vgrad_tui.draw.runs import fit_fields, rule, width_of
from vgrad_tui.widgets.lines import Lines
from vgrad_tui.widgets.view import View

_LEAST_WIDTH_FOR_NAMES = 116  # below, only the shown view's tab has its name; the others are digits
_LEAD = 2  # cells of the rule before the first tab
_GAP = 2


class Tabs(Lines):
    """Tabs in front, the view's own words after them, the titles of its columns at the right end.

    Args:
        views: The views; the first has key 1.
    """

    class Pressed(Message):
        """A tab was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, views: Sequence[View]) -> None:
        super().__init__(id="tabs")
        self._views = views
        self._targets: list[tuple[int, str]] = []
        self.tooltip = "Ways to look at the gradients; their digits are keys"

    def update(self, view: View) -> None:
        """Show the tabs, and the title of the view that is shown."""
        width = self.size.width
        left: list[tuple[str, str]] = []
        self._targets = []
        for digit, each in enumerate(self._views, 1):
            if left:
                left.append((" " * _GAP, "dim"))
            left.append((f"{digit}", "key"))
            if each is view or width >= _LEAST_WIDTH_FOR_NAMES:
                left.append((f" {each.TAB or each.NAME}", "title" if each is view else "dim"))
            self._targets.append((_LEAD + width_of(left), each.NAME))
        titles = view.column_titles()
        # The rule takes its lead, a cell after the fields and one before the titles.
        fields = fit_fields(view.title(), max(0, width - _LEAD - width_of(left) - _GAP - len(titles) - 2))
        if fields:
            left += [(" " * _GAP, "dim"), *fields]
        if not titles:
            self.show([rule(left, [], width)])
            return
        row = rule(left, [], width - len(titles) - 1)
        self.show([[*row, (" ", "dim"), (titles, "dim")]])

    def on_click(self, event: events.Click) -> None:
        """Show the view whose tab is under the mouse."""
        event.stop()
        for end, name in self._targets:
            if event.x < end:
                self.post_message(self.Pressed(name))
                return
            if event.x < end + _GAP:
                return
