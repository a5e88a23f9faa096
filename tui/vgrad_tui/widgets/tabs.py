"""The title row of the lower half: a tab per view, and the title of the view that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from vgrad_tui.draw.runs import fit_fields, rule, width_of
from vgrad_tui.widgets.lines import Lines
from vgrad_tui.widgets.view import View

_NEEDED = 9  # priority of a view's words that are worth more than the names of the other tabs
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
        words, titles = view.title(), view.column_titles().lstrip()
        # The rule takes its lead, a cell after the fields and one before the titles.
        room = self.size.width - _LEAD - len(titles) - 2
        needed = [width_of(runs) + _GAP for priority, runs in words if runs and priority >= _NEEDED]
        left = self._tabs(view, named=True)
        if width_of(left) + sum(needed) > room:
            left = self._tabs(view, named=False)
        fields = fit_fields(words, max(0, room - width_of(left) - _GAP))
        if fields:
            left += [(" " * _GAP, "dim"), *fields]
        if not titles:
            self.show([rule(left, [], self.size.width)])
            return
        row = rule(left, [], self.size.width - len(titles) - 1)
        self.show([[*row, (" ", "dim"), (titles, "dim")]])

    def _tabs(self, view: View, *, named: bool) -> list[tuple[str, str]]:
        """The tabs: the shown one has its name, the others have theirs if ``named``."""
        tabs: list[tuple[str, str]] = []
        self._targets = []
        for digit, each in enumerate(self._views, 1):
            if tabs:
                tabs.append((" " * _GAP, "dim"))
            tabs.append((f"{digit}", "key"))
            if named or each is view:
                tabs.append((f" {each.TAB or each.NAME}", "title" if each is view else "dim"))
            self._targets.append((_LEAD + width_of(tabs), each.NAME))
        return tabs

    def on_click(self, event: events.Click) -> None:
        """Show the view whose tab is under the mouse."""
        event.stop()
        for end, name in self._targets:
            if event.x < end:
                self.post_message(self.Pressed(name))
                return
            if event.x < end + _GAP:
                return
