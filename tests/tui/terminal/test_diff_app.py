"""After every key the terminal shows what the screen is, though only changed cells were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyte
import pytest
from tests.tui.driving import play
from tests.tui.scripted import ScriptedSource
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.screen import Screen

import vgrad_tui.app.app
from vgrad_tui.app.app import VgradApp
from vgrad_tui.terminal.cell_diff import CellDiff

KEYS = (
    *("l", "z", "z", "left", "left", "right", "x", "x", "l", "s", "s", "y", "c", "]", "v", "a", "minus", "0"),
    *("2", "down", "3", "y", "4", "5", "1", "down", "down", "up", "pagedown", "slash", "r", "escape"),
    *("question_mark", "pagedown", "pagedown", "pageup", "escape", "j", "pageup", "escape", "e", "escape"),
    *("q", "n", "i", "down", "escape", "u", "r", "enter", "down", "up", "escape", "ctrl+p", "l", "escape"),
    *("m", "down", "down", "down", "down", "down", "right", "right", "left", "pagedown", "pageup", "escape"),
    *("down", "enter", "8", "escape", "backspace", "i", "escape", "g", "escape", "escape"),
)  # fmt: skip


class EmulatedApp(VgradApp):
    """Writes to an emulator what it would write to a terminal.

    Args:
        source: The run.
        size: Columns and lines.
    """

    CSS_PATH = Path(vgrad_tui.app.app.__file__).with_name("app.tcss")

    def __init__(self, source: ScriptedSource, size: tuple[int, int]) -> None:
        super().__init__(source)
        self.cells = CellDiff()
        self.emulator = pyte.Screen(*size)
        self._stream = pyte.Stream(self.emulator)

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        super()._display(screen, renderable)
        if isinstance(renderable, ChopsUpdate | LayoutUpdate):
            self._stream.feed(self.cells.reduce(renderable, self.console))

    def shown(self) -> list[str]:
        """What the terminal shows, line by line."""
        return [line.rstrip() for line in self.emulator.display]

    def meant(self) -> list[str]:
        """What the screen is, line by line."""
        strips = self.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=["80x24", "120x36", "160x50"])
async def test_after_every_key_the_terminal_shows_what_the_screen_is(size: tuple[int, int]) -> None:
    source = ScriptedSource(answers=True)
    app = EmulatedApp(source, size)
    async with app.run_test(size=size) as pilot:
        await play(pilot, source)
        for position, key in enumerate(KEYS):
            await pilot.press(key)
            await pilot.pause()
            assert app.shown() == app.meant(), KEYS[: position + 1]
