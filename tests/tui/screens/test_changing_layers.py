"""Layers that a training loop adds, removes or unfreezes while a screen shows those before."""

from __future__ import annotations

import pytest
from tests.batches import make_batch
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import LAYERS, ScriptedSource, make_info, make_stats, records
from textual.pilot import Pilot

from vgrad.events.notices import LayersChanged
from vgrad_tui.app.app import VgradApp

_MORE = ("new", *LAYERS, "last")
_FEWER = ("embed", "head")


async def _change(app: VgradApp, pilot: Pilot[None], source: ScriptedSource, layers: tuple[str, ...]) -> None:
    """Other layers; then, in a batch of its own, steps with them."""
    step, num_layers = source.step, len(layers)
    await pull(pilot, source, make_batch(notices=(LayersChanged(step, make_info(layers)),)))
    assert any(screen_lines(app))
    steps = records(step + 1, step + 5, num_layers)
    await pull(pilot, source, make_batch(steps, stats=make_stats(step + 5, num_layers)))
    assert any(screen_lines(app))


@pytest.mark.parametrize("view", ["1", "2", "3", "4", "5"])
async def test_every_view_follows_other_layers(view: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press(view, "end", "s")
        for layers in (_MORE, _FEWER, LAYERS):
            await _change(app, pilot, source, layers)
            await pilot.press("down", "up")


async def test_an_opened_layer_stays_the_same_one_and_where_it_is_gone_its_neighbour_is_shown() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        app.on_view_opened(app.main.view.Opened(LAYERS.index("rnn.bias_hh_l0")))
        await pilot.pause()
        for layers, shown in ((_MORE, "rnn.bias_hh_l0"), (_FEWER, "head")):
            await _change(app, pilot, source, layers)
            place = f"layer {layers.index(shown) + 1} of {len(layers)}"
            assert f" {shown}  ‖g‖" in line_with(app, place)
