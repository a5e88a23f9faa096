"""The whole verdict and the last command's effect, for terminals without room for them beside the chart."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from vgrad.diagnose.confidence import track_record_in_words
from vgrad.events.verdict import Verdict
from vgrad_tui.draw.numbers import percent, safe
from vgrad_tui.screens.dialog import Dialog
from vgrad_tui.state.glossary import KINDS, SURE, TAGS
from vgrad_tui.state.remedy import commands_in_words, remedy
from vgrad_tui.state.run_state import State

_MOST_LAYERS = 12


class VerdictScreen(Dialog[bool]):
    """The verdict, what it is based on, and what the last command did; its remedy works from here, too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "dismiss(False)", "close", show=False),
        Binding("r", "app.remedy", "apply the remedy", id="verdict.remedy"),
        Binding("u", "app.undo", "undo", id="verdict.undo"),
    ]

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state
        self._text = Text()

    def compose(self) -> ComposeResult:
        """Show the verdict, and how to close it."""
        self._text = _words(self._state)
        with VerticalScroll(classes="box"):
            yield Static(self._text, id="verdict-words")
            yield Static(Text("esc closes this"), classes="hint")

    def refresh_view(self) -> None:
        """Show it as it is now."""
        text = _words(self._state)
        if text != self._text:
            self._text = text
            self.query_one("#verdict-words", Static).update(text)


def _words(state: State) -> Text:
    verdict = state.verdict
    text = Text(verdict.kind.upper(), "bold")
    if verdict.confidence is not None:
        text.append(f"  {percent(verdict.confidence)} sure", "")
    text.append(f"\n{KINDS[verdict.kind]}\n", "dim")
    text.append(f"\n{safe(verdict.evidence)}\n", "")
    if verdict.layers and state.info is not None:
        text.append(f"{_layers(state.info.layers, verdict.layers)}\n", "")
    commands = remedy(state)
    if commands or verdict.advice:
        text.append("\n")
    if commands:
        text.append("r", "bold")
        text.append(f"  {commands_in_words(commands)}\n", "")
    if verdict.advice:
        text.append(f"{verdict.advice}\n", "")
    if state.rejected is not None:
        text.append(f"refused: {safe(state.rejected.reason)}\n", "")
    effect = state.effect()
    if effect is not None:
        text.append(f"\n{safe(' + '.join(effect[0]))}", "bold")
        text.append(f": {effect[1].words()}\n", "")
    for tag in verdict.tags:
        text.append(f"\n{tag}", "bold")
        text.append(f"  {TAGS.get(tag, '')}", "")
    _append_certainty(text, verdict)
    return text


def _append_certainty(text: Text, verdict: Verdict) -> None:
    """What the share beside the verdict is, and which counts it comes from."""
    if verdict.confidence is not None:
        text.append("\n% sure", "bold")
        text.append(f"  {SURE}", "")
    record = track_record_in_words(verdict.rule, verdict.confidence)
    if record:
        text.append(f"\n{record}", "dim")


def _layers(names: tuple[str, ...], indices: tuple[int, ...]) -> str:
    shown = ", ".join(safe(name) for index in indices[:_MOST_LAYERS] for name in names[index : index + 1])
    more = len(indices) - _MOST_LAYERS
    return f"layers: {shown}{f' and {more:,} more' if more > 0 else ''}"
