"""A recording shows at every step what the live screen showed there, however one came to that step."""

from __future__ import annotations

import os
import random
import re
from contextlib import closing, nullcontext
from dataclasses import replace

import numpy as np
import pytest
from tests.engine.store.recorded import STEP_S, ended, record, story
from tests.tui.driving import line_with, screen_lines
from tests.waiting import until

from vgrad.controls.controls import Pause, Set
from vgrad.errors import DataError
from vgrad.events.batch import Batch
from vgrad.events.notices import RunEnded, VerdictChanged
from vgrad.events.rank_stats import RankStats
from vgrad.events.verdict import Verdict
from vgrad.methods.clip import ClipGradNorm
from vgrad.run.run_history import RunHistory
from vgrad.store.attached_run import AttachedRun
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.non_finite import where_non_finite_began
from vgrad.store.reader import RunReader
from vgrad.store.replayed_run import ReplayedRun
from vgrad.store.writer import Writer
from vgrad_tui.app.replay_app import ReplayApp

STEPS = 3000
LAYERS = ("embed", "head")


class Clock:
    """A clock that a test turns."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder() -> RunFolder:
    return record(RunFolder.create("told again"), STEPS, LAYERS, bodies=story(STEPS))


def summary(history: RunHistory) -> tuple[object, ...]:
    window = history.losses.window(0, STEPS + 1, 100)
    return (
        history.step,
        history.phase,
        history.controls,
        history.verdict.kind,
        [entry.text for entry in history.journal],
        window.first_step.tolist(),
        window.min.tobytes(),  # the mean depends on how it was summed up
        window.max.tobytes(),
        None if history.record is None else history.record.grad_norms.tobytes(),
    )


def test_it_plays_at_its_speed_and_stops_at_the_end(folder: RunFolder) -> None:
    clock = Clock()
    run = ReplayedRun(folder, clock_s=clock)
    history = RunHistory()
    run.start()
    assert run.is_playing and run.speed == 1.0
    clock.now_s = 5.0
    history.take(run.drain())
    assert history.step == round(5.0 / STEP_S)
    run.faster(2.0)
    clock.now_s = 10.0
    history.take(run.drain())
    assert history.step == round(15.0 / STEP_S)
    run.toggle()
    clock.now_s = 100.0
    assert run.drain().blocks == ()
    run.toggle()
    clock.now_s = 200.0
    history.take(run.drain())
    assert (history.step, history.phase, run.is_playing) == (STEPS, "done", False)
    assert run.drain().notices == ()


def test_any_way_to_a_step_shows_the_same(folder: RunFolder) -> None:
    run = ReplayedRun(folder, at_step=0)
    wandering = RunHistory()
    generator = random.Random(0)
    for _ in range(30):
        step = generator.randrange(STEPS + 10)
        run.seek(step)
        wandering.take(run.drain())
        direct = ReplayedRun(folder, at_step=step)
        straight = RunHistory()
        straight.take(direct.drain())
        assert wandering.step == min(step, STEPS)
        assert summary(wandering) == summary(straight)
    run.seek(STEPS)
    wandering.take(run.drain())
    live = RunHistory()
    with RunReader(folder) as reader:
        live.take(reader.overview(rows_per_level=STEPS))
    assert summary(wandering) == summary(live), "at its end it is what an attached screen shows"


def test_it_goes_to_commands_and_verdicts(folder: RunFolder) -> None:
    run = ReplayedRun(folder, at_step=0)
    found = [run.seek_event(1), run.seek_event(1), run.seek_event(1)]
    assert [(event.step, event.words) if event else None for event in found] == [
        (STEPS // 3, "clip norm 1"),
        (2 * (STEPS // 3), "exploding"),
        None,
    ]
    back = run.seek_event(-1)
    assert back is not None and back.words == "clip norm 1" and run.step == STEPS // 3


def test_a_killed_run_opens_at_its_last_step_and_says_what_is_known() -> None:
    folder = record(RunFolder.create("killed"), 200, LAYERS)
    folder.log.write_text("Killed\n")
    run = ReplayedRun(folder)
    history = RunHistory()
    history.take(run.drain())
    assert history.step == 200 and history.phase == "failed" and not run.is_playing
    assert history.ended is not None and "without giving a reason" in str(history.ended.error)
    assert history.ended.traceback_text == "Killed"


@pytest.mark.parametrize("is_attached", [True, False])
def test_the_rank_whose_end_has_ended_the_others_is_named(is_attached: bool) -> None:
    folder = record(RunFolder.create("killed"), 200, LAYERS)
    unwatched = RankStats(1, problem="it is not watched")  # no reason for an end
    ranks = (RankStats(0, "here", 10), unwatched, RankStats(2, "here", 12, problem="gone"))
    with closing(open_to_write(folder.database)) as connection:
        Writer(connection).write(Batch(ranks=ranks))
    history = RunHistory()
    with closing(AttachedRun(folder)) if is_attached else nullcontext(ReplayedRun(folder)) as run:
        until(lambda: history.take(run.drain()) or history.ended is not None)
    assert history.ended is not None and history.ended.error == "rank 2: gone"


def test_where_non_finite_values_began_is_said(folder: RunFolder) -> None:
    with RunReader(folder) as reader:
        whole = reader.overview()
    assert where_non_finite_began(whole) is None
    last = whole.blocks[-1]
    loss, norm, layers = last.loss.copy(), last.grad_norm.copy(), last.grad_norms.copy()
    loss[-5:] = np.nan
    norm[-6:] = np.inf
    layers[-6:, 1] = np.inf
    spoilt = replace(last, loss=loss, grad_norm=norm, grad_norms=layers)
    words = where_non_finite_began(replace(whole, blocks=(*whole.blocks[:-1], spoilt)))
    assert words == f"non-finite values began at step {STEPS - 5:,}: the gradient; layers: head"


def test_nothing_in_a_recording_can_be_changed(folder: RunFolder) -> None:
    with pytest.raises(DataError, match="recording"):
        ReplayedRun(folder).submit(Pause())


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_the_keys_of_a_recording(folder: RunFolder, size: tuple[int, int]) -> None:
    app = ReplayApp(ReplayedRun(folder, at_step=10))
    async with app.run_test(size=size) as pilot:
        while app.state.step != 10:
            await pilot.pause(0.02)
        assert "recording" in line_with(app, "made-up")
        for keys, step in (("n", 1000), (".", 1001), (",", 1000), (">", 1100), ("0", 0), ("9", STEPS)):
            await pilot.press(*keys)
            await pilot.pause()
            await pilot.pause()
            assert app.state.step == step
            assert f"step {step:,} of {STEPS:,}" in line_with(app, "paused")
        await pilot.press("g", *"1234", "enter")
        await pilot.pause()
        await pilot.pause()
        assert app.state.step == 1234 and app.state.ended is None
        await pilot.press("c")
        assert app.state.pending == ()
        await pilot.press("question_mark")
        await pilot.pause()
        assert app.is_running


@pytest.mark.parametrize("step", [10, 90])
async def test_no_key_is_shown_that_does_nothing_in_a_recording(step: int) -> None:
    verdict = Verdict("exploding", "the norm grew 40 times", (0,), (Set("clip", ClipGradNorm(1.0)),))
    bodies = [(50, VerdictChanged(50, verdict)), (100, ended(100))]
    folder = record(RunFolder.create("keys"), 100, LAYERS, bodies=bodies)
    app = ReplayApp(ReplayedRun(folder, at_step=step))
    async with app.run_test(size=(160, 50)) as pilot:
        while app.state.step != step:
            await pilot.pause(0.02)
        for view in "15":
            await pilot.press(view)
            await pilot.pause()
            text = "\n".join(screen_lines(app))
            keys = r"press c|\bc +clip|\[ \]|a +accumulate|- = +lr|m +controls|\br clip"
            assert not re.search(keys, text), text
            assert ("remedy: clip norm 1" in text) == (step == 90), text
        await pilot.click("#clip")
        assert app.state.pending == ()


def test_a_failed_run_has_its_traceback() -> None:
    failed = ended(50, reason="failed", error="ValueError: no", traceback_text="Traceback: no")
    folder = record(RunFolder.create("failed"), 50, LAYERS, bodies=[(50, failed)])
    run = ReplayedRun(folder)
    history = RunHistory()
    history.take(run.drain())
    assert history.ended is not None and history.ended.traceback_text == "Traceback: no"


def test_a_run_that_was_killed_ended_when_it_was_last_written() -> None:
    folder = record(RunFolder.create("killed"), 50, LAYERS)
    os.utime(folder.database, (1000.0, 1000.0))
    [*_, last] = ReplayedRun(folder).drain().notices
    assert isinstance(last.body, RunEnded) and last.body.reason == "failed"
    assert last.time_s == 1000.0
