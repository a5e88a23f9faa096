"""Helpers that drive the app with a scripted source."""

from __future__ import annotations

from collections.abc import Iterable

from tests.tui.scripted import ScriptedSource, script
from textual.pilot import Pilot

from vgrad.events.batch import Batch
from vgrad_tui.app.app import VgradApp
from vgrad_tui.app.bridge import Bridge


def screen_lines(app: VgradApp) -> list[str]:
    """What the screen shows, line by line."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def line_with(app: VgradApp, part: str) -> str:
    """The first line that contains ``part``."""
    lines = screen_lines(app)
    found = [line for line in lines if part in line]
    assert found, f"{part!r} is not on the screen:\n" + "\n".join(lines)
    return found[0]


async def pull(pilot: Pilot[None], source: ScriptedSource, batch: Batch | None = None) -> None:
    """Let a batch arrive and be drawn."""
    if batch is not None:
        source.next_batch = batch
        if batch.blocks:
            source.step = int(batch.blocks[-1].step[-1])
    app = pilot.app
    assert isinstance(app, VgradApp)
    app.screen_stack[0].query_one(Bridge).pull()
    await pilot.pause()


async def play(pilot: Pilot[None], source: ScriptedSource, batches: Iterable[Batch] | None = None) -> None:
    """Let a whole script arrive; by default 300 steps of a healthy run."""
    await pilot.pause()
    for batch in script() if batches is None else batches:
        await pull(pilot, source, batch)
