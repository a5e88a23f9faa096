"""A screen over the main one is told of news from the moment it is opened, before it has any widgets."""

from __future__ import annotations

import pytest
from tests.tui.driving import play, screen_lines
from tests.tui.scripted import ScriptedSource

from vgrad_tui.app.app import VgradApp


@pytest.mark.parametrize("action", ["why", "journal", "controls", "check", "ranks", "help", "rewind"])
async def test_news_that_come_while_a_screen_is_being_opened_do_it_no_harm(action: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        main = app.screen
        getattr(app, f"action_{action}")()
        assert not app.screen.is_mounted
        app.refresh_view(chart=False)
        await pilot.pause()
        assert app.screen is not main and any(screen_lines(app))
        app.refresh_view(chart=False)


async def test_news_that_come_while_a_layer_is_being_opened_do_it_no_harm() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        app.on_view_opened(app.main.view.Opened(0))
        app.refresh_view(chart=False)
        await pilot.pause()
        assert any(screen_lines(app))
