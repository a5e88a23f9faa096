"""An app that writes no more than it must: changed cells only, and nothing while nobody reads."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from textual import events
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.screen import Screen

from vgrad_tui.terminal.cell_diff import CellDiff, Written
from vgrad_tui.terminal.driver import TerminalDriver


class DiffApp(App[None]):
    """Puts the painter between Textual's compositor and the terminal.

    A terminal that has not taken the last output yet gets no more: frames are dropped, never
    queued, and the first one after that brings the whole screen up to date.
    """

    def __init__(self) -> None:
        super().__init__(driver_class=TerminalDriver)
        self._painter = CellDiff()
        self._lost_a_frame = False
        self.animation_level = "none"  # a slide is dozens of frames, and nobody waits for it

    def keeps_up(self) -> bool:
        """Whether the terminal takes output; makes up for dropped frames once it does again."""
        if self._is_behind():
            return False
        if self._lost_a_frame:
            self._lost_a_frame = False
            self.screen.refresh()
        return True

    @property
    def has_lost_its_terminal(self) -> bool:
        """Whether nobody can see or say anything any more."""
        return isinstance(self._driver, TerminalDriver) and self._driver.is_gone

    def action_redraw(self) -> None:
        """Write every cell anew."""
        self._painter.forget()
        self.screen.refresh()

    async def on_event(self, event: events.Event) -> None:
        """A resized terminal may show anything."""
        if isinstance(event, events.Resize):
            self._painter.forget()
        await super().on_event(event)

    def _is_behind(self) -> bool:
        return isinstance(self._driver, TerminalDriver) and self._driver.is_behind

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if not isinstance(self._driver, TerminalDriver) or not isinstance(
            renderable, ChopsUpdate | LayoutUpdate
        ):
            super()._display(screen, renderable)
        elif self._driver.is_behind:
            self._lost_a_frame = True
        elif not self._batch_count and self._running and not self._closed:
            text = self._painter.reduce(renderable, self.console)
            if text:
                super()._display(screen, Written(text))
