"""The list of all controls, and the card that explains the chosen one."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive

from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.controls import Set
from vgrad.controls.wording import describe
from vgrad.methods.init_schemes import REINITS
from vgrad_tui.draw.runs import Runs, cut_short, rule
from vgrad_tui.keys import CONTROL_KEYS
from vgrad_tui.state.control_guide import (
    CHECK,
    CHOSEN,
    DEFAULTS,
    ENTRIES,
    GROUPS,
    NOW,
    WEIGHTS,
    GuideRow,
    explain,
    obstacle,
)
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.control_value import applied, chosen, pending, pending_value
from vgrad_tui.widgets.lines import Lines

_TITLES = {WEIGHTS: "re-initialise", CHECK: "gradient check"}
_NAME_WIDTH = 17
_ON_SCREEN = ("move", "kind", "parameter", "edit", "off", "read")


class Sheet(Lines):
    """Rows that are as high as there are of them, to be scrolled by what holds them."""

    def show(self, rows: list[Runs]) -> None:
        """Show these rows from now on."""
        if len(rows) != len(self._rows):
            self.refresh(layout=True)
        super().show(rows)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The height that the style sheet's ``auto`` stands for."""
        return len(self._rows)

    def reveal(self, first: int, last: int) -> None:
        """Scroll so that these rows are seen; the first of them where there is no room for all."""
        holder = self.parent
        assert isinstance(holder, VerticalScroll)
        height = min(last - first + 1, max(1, holder.size.height))
        holder.scroll_to_region(Region(0, first, 1, height), animate=False, force=True)


class ControlList(Sheet, can_focus=True):
    """Every control with its value, in the order in which a step meets them.

    Args:
        state: The run.

    Attributes:
        cursor: Index of the chosen entry in `vgrad_tui.state.control_guide.ENTRIES`.
        choice: What was chosen for it and not asked for.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key.binding() for key in CONTROL_KEYS if key.action.partition("(")[0] in _ON_SCREEN
    ]

    class Chosen(Message):
        """Another entry was chosen."""

    class Acted(Message):
        """A key was pressed, or its row was clicked.

        Attributes:
            action: What it stands for: ``"kind"``, ``"parameter"``, ``"edit"``, ``"off"`` or ``"read"``.
            direction: 1 or -1, where the action has one.
        """

        def __init__(self, action: str, direction: int = 0) -> None:
            super().__init__()
            self.action = action
            self.direction = direction

    cursor = reactive(0, repaint=False)

    def __init__(self, state: State) -> None:
        super().__init__(id="control-list")
        self._state = state
        self._entry_rows: dict[int, int] = {}  # row of each entry
        self.choice: Set | None = None

    @property
    def entry(self) -> str:
        """Name of the chosen control, or topic of what can be done."""
        return ENTRIES[self.cursor]

    def update(self) -> None:
        """Show every control as it is now."""
        width = self.size.width
        rows: list[Runs] = []
        for title, names in GROUPS:
            rows.append(rule([(title, "title")], [], width))
            for name in names:
                index = ENTRIES.index(name)
                self._entry_rows[index] = len(rows)
                rows.append(cut_short(self._row(name, is_chosen=index == self.cursor), width))
        self.show(rows)

    def _row(self, name: str, *, is_chosen: bool) -> Runs:
        title = CONTROLS[name].title if name in CONTROLS else _TITLES[name]
        reason = obstacle(name, self._state.info)
        is_on = name in CONTROLS and getattr(self._state.controls, name) != getattr(DEFAULTS, name)
        return [
            ("▸ " if is_chosen else "  ", "key"),
            ("● " if is_on else "  ", "good"),
            (f"{title:<{_NAME_WIDTH}} ", "strong" if is_chosen else "dim" if reason else "text"),
            *([(f"– {reason}", "dim")] if reason and not is_on else self._value(name, is_on=is_on)),
        ]

    def _value(self, name: str, *, is_on: bool) -> Runs:
        state = self._state
        if state.info is None:  # what is on from the first step is not known yet
            return [("–", "dim")]
        command = state.pending_on(name)
        if name == CHECK:
            return check_in_short(state)
        if name == WEIGHTS:
            now = "as trained" if name not in state.applied_at else "changed"
        else:
            now = find_control(name).shown(getattr(state.controls, name))
        if self.choice is not None and self.choice.control == name:
            return chosen(name, self.choice, state)
        if command is not None:
            return pending(now, pending_value(command), state)
        return applied(now, state, name, strong=is_on)

    def watch_cursor(self) -> None:
        """Show which entry is chosen, and keep it in sight, with its title above the first of a group."""
        self.update()
        row = self._entry_rows[self.cursor]
        self.reveal(row - 1 if row - 1 not in self._entry_rows.values() else row, row)
        self.post_message(self.Chosen())

    def action_move(self, entries: int) -> None:
        """Choose another entry."""
        self.cursor = max(0, min(self.cursor + entries, len(ENTRIES) - 1))

    def action_kind(self, direction: int) -> None:
        """The next kind."""
        self.post_message(self.Acted("kind", direction))

    def action_parameter(self, direction: int) -> None:
        """A higher or lower parameter."""
        self.post_message(self.Acted("parameter", direction))

    def action_edit(self) -> None:
        """Type a value."""
        self.post_message(self.Acted("edit"))

    def action_off(self) -> None:
        """Back to the default."""
        self.post_message(self.Acted("off"))

    def action_read(self, direction: int) -> None:
        """Scroll the explanation."""
        self.post_message(self.Acted("read", direction))

    def on_click(self, event: events.Click) -> None:
        """Choose a row; a click on the chosen row is Enter."""
        index = next((index for index, row in self._entry_rows.items() if row == event.y), None)
        if index is None:
            return
        if index == self.cursor:
            self.action_edit()
        self.cursor = index

    def on_resize(self) -> None:
        """Cut the rows for the new width."""
        self.update()


class ControlCard(Sheet):
    """What the chosen control does, and all that it can be; a click on a kind sets it.

    Args:
        state: The run.
    """

    class Picked(Message):
        """A kind was clicked.

        Attributes:
            word: Of the kind.
        """

        def __init__(self, word: str) -> None:
            super().__init__()
            self.word = word

    def __init__(self, state: State) -> None:
        super().__init__(id="control-card")
        self._state = state
        self._words: list[str] = []
        self._seen: tuple[str, object, Set | None] | None = None

    def update(self, entry: str, choice: Set | None) -> None:
        """Explain an entry as it is now; a new choice, or a new value, is scrolled into sight."""
        rows = self._explain(entry, choice)
        self._words = [word for _, word in rows]
        self.show([runs for runs, _ in rows])
        seen = (entry, getattr(self._state.controls, entry, None), choice)
        if seen != self._seen:
            self._seen = seen
            self.call_after_refresh(self._reveal)

    def _explain(self, entry: str, choice: Set | None) -> list[GuideRow]:
        width = self.size.width
        if entry == WEIGHTS:
            return [
                ([("Replace the weights", "strong"), (" by new ones, by a scheme.", "text")], ""),
                ([("u", "key"), (" restores the old ones, and the optimizer's state too.", "text")], ""),
                *(
                    (
                        [("○ ", "dim"), (scheme, "key"), (f"  {description}", "text")],
                        scheme,
                    )
                    for scheme, description in REINITS.items()
                ),
            ]
        if entry == CHECK:
            return [
                ([("Compare autograd with central differences, on a float64 copy of the model", "text")], ""),
                ([("and the newest microbatch. Changes nothing; training waits meanwhile.", "text")], ""),
                (check_in_short(self._state), ""),
            ]
        return explain(entry, self._state, width, choice)

    def _reveal(self) -> None:
        marks = [row[0][0] if row else "" for row in self._rows]
        first = next((marks.index(mark) for mark in (CHOSEN, NOW) if mark in marks), 0)
        word = self._words[first] if self._words else ""
        last = max((y for y, each in enumerate(self._words) if word and each == word), default=first)
        if first:
            self.reveal(first, last)
        else:
            self.reveal(0, 0)

    def on_click(self, event: events.Click) -> None:
        """Set the kind under the mouse."""
        word = self._words[event.y] if event.y < len(self._words) else ""
        if word:
            self.post_message(self.Picked(word))


def check_in_short(state: State) -> Runs:
    """How far the gradient check is, or what the last one found."""
    if state.checking is not None:
        return [(f"{state.checking.done:,} of {state.checking.total:,} entries …", "warn")]
    command = state.pending_on(CHECK)
    if command is not None:
        return [(f"{describe(command)} asked for", "warn")]
    if state.checked is None:
        return [("not checked yet", "dim")]
    check = state.checked.check
    verdict = ("✓ passed", "good") if check.passed else ("✗ FAILED", "bad")
    return [verdict, (f"  @ {state.checked.step:,}", "accent"), (f"  {check.words()}", "text")]
