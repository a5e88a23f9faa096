"""All keys, and what the words on the screen mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from vgrad_tui.keys import CONTROL_KEYS, KEYS, Key
from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.state.glossary import BASELINE, SURE, TAGS

_LIST_KEYS = (("↑ ↓", "Choose a layer"), ("enter", "Open it: its own chart and numbers"))


class HelpScreen(Dialog[bool]):
    """All keys, from the same table that binds them, and the words beside a verdict.

    Args:
        keys: The keys of the main screen.
        here: The keys of the screen that lies beneath, which come first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss(False)", "close", show=False)]

    def __init__(self, keys: Sequence[Key] = KEYS, *, here: Sequence[Key] = ()) -> None:
        super().__init__()
        others = (*keys, *(CONTROL_KEYS if keys is KEYS else ()))
        self._keys = tuple(dict.fromkeys((*here, *others)))

    def compose(self) -> ComposeResult:
        """Make the table."""
        with VerticalScroll(classes="box"):
            for group, keys in groupby(self._keys, key=lambda key: key.group):
                yield from _section(group, [(key.shown, key.help) for key in keys])
            yield from _section("in the list of layers", _LIST_KEYS)
            yield from _section("beside the verdict", (("% sure", SURE), *TAGS.items()))
            yield from _section("above the chart", (("baseline", BASELINE),))
            yield Static(Text("\nctrl+p finds everything by name. Esc closes this.", "dim"))


def _section(title: str, rows: Iterable[tuple[str, str]]) -> Iterable[Static]:
    """A heading, and under it words that stay in their column where they take more than a line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=6, no_wrap=True, style="bold")
    for shown, words in rows:
        table.add_row(Text(f"  {shown}"), Text(words))
    yield Static(Text(title, "bold"))
    yield Static(table)
