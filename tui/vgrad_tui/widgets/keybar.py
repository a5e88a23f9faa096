"""The keys at the bottom: as many as fit, each a mouse target."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.message import Message

from vgrad_tui.keys import Key
from vgrad_tui.widgets.lines import Lines

_GAP = 2


class KeyBar(Lines):
    """One row of keys, those that come first while there is room.

    Args:
        keys: All keys; those with a word for the footer are shown, in order.

    Attributes:
        keys: The same.
    """

    class Pressed(Message):
        """A key was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__(id="keys")
        self.keys = keys
        self._shown = [key for key in keys if key.in_footer]
        self._targets: list[tuple[int, str]] = []

    def on_resize(self) -> None:
        """Show what fits. The last two, the way out and the way to all other keys, always do."""
        runs: list[tuple[str, str]] = []
        self._targets = []
        always = self._shown[-2:]
        left = self.size.width - sum(_width(key) for key in always)
        end = 0
        for key in self._shown:
            if key not in always:
                left -= _width(key)
                if left < 0:
                    continue
            runs += [(key.shown, "key"), (f" {key.in_footer}", "dim"), (" " * _GAP, "dim")]
            end += _width(key)
            self._targets.append((end, key.action))
        self.show([runs])

    def on_click(self, event: events.Click) -> None:
        """Do what the key under the mouse does."""
        event.stop()
        for end, action in self._targets:
            if event.x < end:
                self.post_message(self.Pressed(action))
                return


def _width(key: Key) -> int:
    return cell_len(key.shown) + 1 + cell_len(key.in_footer) + _GAP
