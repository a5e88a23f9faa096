"""What a run lacks is absent on the screen; of several parts one is shown, and the verdict on each."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import ScriptedSource, make_batch, make_info, make_record

from vgrad.events.batch import Batch, Snapshot
from vgrad.events.notices import Notice, RunStarted, VerdictChanged
from vgrad.events.step_block import StepBlock
from vgrad.events.verdict import Verdict
from vgrad_tui.app.app import VgradApp


async def test_a_loss_that_is_not_known_is_not_shown_as_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        steps = tuple(make_record(step, loss=None, num_samples=0, num_tokens=0) for step in range(1, 51))
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
        app.refresh_view(chart=True)
        await pilot.pause()
        assert line_with(app, "the loss of this run is not known")
        shown = "\n".join(screen_lines(app))
        assert (
            "nan" not in shown.lower() and "tokens/s" not in shown and "train" not in line_with(app, "─ loss")
        )
        await pilot.press("m")
        await pilot.pause()
        assert "loss" not in line_with(app, "training, step 50")


async def test_a_learning_rate_that_is_not_known_is_not_shown_as_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        steps = tuple(replace(make_record(step), lr=math.nan, base_lr=math.nan) for step in range(1, 11))
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
        assert "nan" not in line_with(app, "- = lr") and "×1" in line_with(app, "- = lr")


async def test_nan_is_shown_as_nan() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        steps = (make_record(1), make_record(2, loss=float("nan")))
        await play(pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(steps)])
        app.refresh_view(chart=True)
        await pilot.pause()
        assert "train nan" in line_with(app, "─ loss")


@pytest.mark.parametrize("view", ["1", "2", "3"])
async def test_p_shows_the_next_part_with_its_own_layers(view: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    generator, critic = make_info(("generator.weight", "generator.bias")), make_info(("critic.weight",))
    async with app.run_test(size=(120, 36)) as pilot:
        notices = (
            Notice(0, 0.0, None, 0, RunStarted(generator), None),
            Notice(1, 0.0, None, 1, RunStarted(critic), None),
            Notice(2, 0.0, 9, 1, VerdictChanged(9, Verdict("dead", "no gradient")), None),
        )
        blocks = (
            StepBlock.of([make_record(step, 2) for step in range(1, 10)]),
            StepBlock.of([replace(make_record(step, 1), part=1) for step in range(1, 10)]),
        )
        await pilot.press(view)
        await play(
            pilot, source, [Batch(blocks, notices, {1: Snapshot(verdict=Verdict("dead", "no gradient"))}, 0)]
        )
        assert "p part 1… 2○" in line_with(app, "p part")
        assert line_with(app, "generator.weight")
        await pilot.press("p")
        await pilot.pause()
        assert "DEAD" in line_with(app, "p part")
        assert line_with(app, "critic.weight")
        assert not any("generator" in line for line in screen_lines(app))
        await pilot.press("p")
        await pull(pilot, source)
        assert line_with(app, "generator.weight")
        assert source.submitted == []


async def test_a_run_of_one_part_has_no_other_to_show() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        await pilot.press("p")
        assert app.state.shown_part == 0
        assert not any("p part" in line for line in screen_lines(app))


@pytest.mark.parametrize("seed", [None, 0])
async def test_a_seed_is_shown_where_it_is_known(seed: int | None) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        started = make_batch(notices=(RunStarted(make_info(seed=seed)),))
        await play(pilot, source, [started, make_batch((make_record(1),))])
        row = line_with(app, "charlm-rnn")
        assert "cpu" in row and ("seed" in row) == (seed is not None)
