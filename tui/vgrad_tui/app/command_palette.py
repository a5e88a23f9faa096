"""The command palette: every key, and everything that a control can be.

Before anything is typed it lists the keys alone; the rest, several hundred entries, is found by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

from textual.app import SystemCommand

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.controls import Reinit
from vgrad.methods.init_schemes import REINITS
from vgrad_tui.keys import KEYS
from vgrad_tui.state import control_guide
from vgrad_tui.state.glossary import TAGS

if TYPE_CHECKING:
    from vgrad.controls.controls import Command


class Commanded(Protocol):
    """The app, as the palette uses it."""

    def act(self, action: str) -> None:
        """Do what a key with this action does."""

    def set_word(self, name: str, word: str) -> None:
        """Set a control to one of its words."""

    def submit(self, command: Command) -> None:
        """Ask the run for a command."""

    def action_controls(self, entry: str = "", edit: bool = False) -> None:
        """Show every control."""

    def action_help(self) -> None:
        """Show all keys."""

    def action_change_theme(self) -> None:
        """Choose other colours."""


def theme_entry(app: Commanded) -> SystemCommand:
    """The only one of Textual's own commands that is not ours already, and speaks of what is there.

    The palette is sorted by name, capitals first: its name is no more prominent than those of the keys.
    """
    return SystemCommand("theme", "Choose the colours of the screen", app.action_change_theme)


def palette_entries(app: Commanded) -> Iterator[SystemCommand]:
    """What can be found by name, besides Textual's own."""
    for key in KEYS:
        yield SystemCommand(f"{key.words} ({key.shown})", key.help, partial(app.act, key.action))
    for title, words, name, word in control_guide.palette():
        yield SystemCommand(title, words, partial(app.set_word, name, word), discover=False)
    for control in CONTROLS.values():
        show = partial(app.action_controls, control.name, edit=True)
        yield SystemCommand(f"{control.title} …", f"{control.help}: type a value", show, discover=False)
    for scheme, description in REINITS.items():
        words = f"Re-initialise the weights; u restores them. {description}"
        reinit = partial(app.submit, Reinit(scheme))
        yield SystemCommand(f"re-initialise {scheme}", words, reinit, discover=False)
    for tag, words in TAGS.items():
        yield SystemCommand(f"tag: {tag}", words, app.action_help, discover=False)
