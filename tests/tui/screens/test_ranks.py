"""The list of the ranks of a training over several processes."""

from __future__ import annotations

from tests.tui.driving import play, pull, screen_lines
from tests.tui.scripted import ScriptedSource

from vgrad.events.batch import Batch
from vgrad.events.rank_stats import RankStats
from vgrad_tui.app.app import VgradApp


async def test_what_is_wrong_with_a_rank_is_said_in_full_on_a_narrow_screen() -> None:
    words = "its process has ended without giving a reason: it was killed, ran out of memory, or crashed"
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, Batch(ranks=(RankStats(0, "a", 11), RankStats(1, "a", 12, problem=words))))
        await pilot.press("R")
        await pilot.pause()
        await pilot.pause()
        inside = (line.split("│")[-2] for line in screen_lines(app) if line.count("│") >= 2)
        assert f"rank 1: {words}" in " ".join(" ".join(inside).split())
