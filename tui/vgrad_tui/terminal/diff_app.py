"""An app that writes no more than it must: changed cells only, and nothing while nobody reads."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from textual import events
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.driver import Driver
from textual.screen import Screen

from vgrad_tui.terminal.cell_diff import CellDiff, ChangedCells
from vgrad_tui.terminal.driver import TerminalDriver


class DiffApp(App[None]):
    """Writes of each update of Textual's compositor only the cells that the terminal does not show yet.

    A terminal that has not taken the last output yet gets no more: frames are dropped, never
    queued, and the first one after that brings the whole screen up to date.
    """

    def __init__(self) -> None:
        super().__init__(driver_class=TerminalDriver)
        self._cells = CellDiff()
        self._lost_a_frame = False
        self.animation_level = "none"  # a slide is dozens of frames, and nobody waits for it

    def keeps_up(self) -> bool:
        """Whether the terminal takes output; makes up for dropped frames once it does again."""
        terminal = self._terminal
        if terminal is not None and terminal.is_behind:
            return False
        if self._lost_a_frame:
            self._lost_a_frame = False
            self.screen.refresh()
        return True

    @property
    def has_lost_its_terminal(self) -> bool:
        """Whether nobody can see or say anything any more."""
        terminal = self._terminal
        return terminal is not None and terminal.is_gone

    @property
    def _terminal(self) -> TerminalDriver | None:
        """The driver; None while there is none, and in tests, which run without a terminal."""
        return self._driver if isinstance(self._driver, TerminalDriver) else None

    def action_redraw(self) -> None:
        """Write every cell again."""
        self._cells.forget()
        self.screen.refresh()

    async def on_event(self, event: events.Event) -> None:
        """A resized terminal may show anything, one that is taken again after Ctrl-Z and fg nothing."""
        if isinstance(event, events.Resize):
            self._cells.forget()
        await super().on_event(event)
        if isinstance(event, Driver.SignalResume):
            self.action_redraw()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        terminal = self._terminal
        if terminal is None or not isinstance(renderable, ChopsUpdate | LayoutUpdate):
            super()._display(screen, renderable)
        elif self._batch_count or not self._running or self._closed:
            pass  # Textual writes nothing now either: no cell may be remembered as shown
        elif terminal.is_behind:
            self._lost_a_frame = True
        else:
            text = self._cells.reduce(renderable, self.console)
            cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
            if text or cursor != self._previous_cursor_position:
                super()._display(screen, ChangedCells(text))
