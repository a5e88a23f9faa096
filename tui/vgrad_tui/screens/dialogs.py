"""Small dialogs over the main screen: all keys, the question before quitting, the journal, the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import ClassVar, TypeVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from vgrad_tui.format import safe
from vgrad_tui.keys import KEYS, METHOD_KEYS
from vgrad_tui.meanings import BASELINE, SURE, TAGS
from vgrad_tui.state import Entry
from vgrad_tui.widgets.journal import Journal
from vgrad_tui.widgets.lines import ROLE_CLASSES

Answer = TypeVar("Answer")

_LIST_KEYS = (("↑ ↓", "Choose a layer"), ("enter", "Open it: its own chart and numbers"))


class Dialog(ModalScreen[Answer]):
    """A box over the main screen; esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss(False)", "close", id="dialog.close"),
    ]


class HelpScreen(Dialog[bool]):
    """All keys, from the same table that binds them, and the words beside a verdict."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss(False)", "close", show=False)]

    def compose(self) -> ComposeResult:
        """Make the table."""
        with VerticalScroll(classes="box"):
            for group, keys in groupby((*KEYS, *METHOD_KEYS), key=lambda key: key.group):
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


class QuitScreen(Dialog[bool]):
    """Asks before training is given up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,q,enter,ctrl+c", "dismiss(True)", "quit", id="quit.yes"),
        Binding("n,escape", "dismiss(False)", "stay", id="quit.no"),
    ]

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def compose(self) -> ComposeResult:
        """Ask."""
        text = Text.assemble(
            (f"Training runs, at step {self._step:,}. Quit and lose its weights?\n\n", ""),
            ("y", "bold"), " or ", ("q", "bold"), "  stop after this step and quit\n",
            ("n", "bold"), " or ", ("esc", "bold"), "  stay",
        )  # fmt: skip
        with Vertical(classes="box"):
            yield Static(text)


class ResultScreen(Dialog[bool]):
    """How the run ended; a traceback can be scrolled.

    Args:
        title: One line.
        text: The rest, shown as it is.
    """

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Show title and text."""
        body = "\n".join(safe(line) for line in self._text.splitlines())
        with VerticalScroll(classes="box"):
            yield Static(Text(safe(self._title), style="bold"))
            yield Static(Text(body), id="traceback")
            yield Static(Text("esc closes this, q then quits"), classes="hint")


class JournalScreen(Dialog[bool]):
    """The whole journal, for screens that have no room for it."""

    COMPONENT_CLASSES = ROLE_CLASSES

    BINDINGS: ClassVar[list[BindingType]] = [Binding("j", "dismiss(False)", "close", show=False)]

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._entries = entries

    def compose(self) -> ComposeResult:
        """Show the entries."""
        with Vertical(classes="box", id="journal-box"):
            journal = Journal(id="journal-screen")
            journal.can_focus = True
            yield journal

    def on_mount(self) -> None:
        """Fill it once its size is known."""
        self.call_after_refresh(self.refresh_view)

    def refresh_view(self) -> None:
        """Show what is new."""
        self.query_one(Journal).update(self._entries)
