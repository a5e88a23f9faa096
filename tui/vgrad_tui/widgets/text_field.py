"""A field to type into, whose cursor stands still."""

from __future__ import annotations

from textual.widgets import Input


class TextField(Input):
    """One row to type into. Its cursor does not blink: a screen on which nothing changes writes nothing."""

    def on_mount(self) -> None:
        """Keep the cursor from blinking."""
        self.cursor_blink = False
