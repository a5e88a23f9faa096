"""What a screen reads first of a long run: every step, in few pieces, and norms per layer as they show."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest
from tests.engine.store.recorded import notices, record, run_info, steps, story

from vgrad.events.batch import Batch
from vgrad.events.notices import RunEnded, RunStarted
from vgrad.run.run_history import RunHistory
from vgrad.store.attached_run import AttachedRun
from vgrad.store.columns import DURATIONS
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader
from vgrad.store.writer import Writer

LAYERS = ("a", "b", "c")


@pytest.mark.parametrize("num_steps", [1, 24, 511, 6000])
def test_every_step_comes_once_and_in_order(num_steps: int) -> None:
    folder = record(RunFolder.create("long"), num_steps, LAYERS, bodies=story(num_steps))
    with RunReader(folder) as reader:
        whole = reader.overview()
        assert len(reader.take(with_layers=True).blocks) == 0, "the overview was up to date"
        everything = list(reader.steps(0))
    step = np.concatenate([block.step for block in whole.blocks])
    assert step.tolist() == list(range(1, num_steps + 1))
    for name in ("loss", "grad_norm", "elapsed_s", "watch_s"):
        ours = np.concatenate([getattr(block, name) for block in whole.blocks])
        theirs = np.concatenate([getattr(block, name) for block in everything])
        # Durations of old steps are not read: nothing shows them, and they are half of the bytes.
        num_left_out = num_steps - len(whole.blocks[-1]) if name in DURATIONS else 0
        assert np.isnan(ours[:num_left_out]).all()
        assert ours[num_left_out:].tobytes() == theirs[num_left_out:].tobytes()
    assert len(whole.blocks) <= 2
    assert whole.blocks[-1].grad_norms.shape[1] == len(LAYERS), "the newest have their layers"
    assert isinstance(whole.notices[0].body, RunStarted)


@pytest.mark.parametrize("num_steps", [600, 1023, 1530, 2047, 6000])
def test_while_it_trains_no_stretch_is_without_norms_per_layer(num_steps: int) -> None:
    folder = RunFolder.create("alive")
    with closing(open_to_write(folder.database)) as connection:
        writer = Writer(connection)
        writer.write(Batch(notices=tuple(notices([(0, RunStarted(run_info(LAYERS)))]))))
        for first in range(1, num_steps + 1, 10):
            writer.write(Batch((steps(first, min(10, num_steps + 1 - first), len(LAYERS)),)))
        with RunReader(folder) as reader:
            whole = reader.overview()
    known = [*(norms.step for norms in whole.layer_norms), whole.blocks[-1].step]
    assert np.diff(np.concatenate([[0], *known])).max() <= 16


def test_norms_per_layer_are_those_of_their_steps_and_reach_back_to_the_start() -> None:
    folder = record(RunFolder.create("long"), 20_000, LAYERS, per_batch=100)
    with RunReader(folder) as reader:
        whole = reader.overview()
    [norms] = whole.layer_norms
    assert (np.diff(norms.step) > 0).all()
    assert norms.step[0] <= 256 and norms.step[-1] < whole.blocks[-1].step[0]
    assert len(norms.step) < 3000, "so many as a screen shows, not all"
    made = [steps(first, 100, 3) for first in range(1, 20_001, 100)]
    known = {step: row for b in made for step, row in zip(b.step.tolist(), b.grad_norms, strict=True)}
    for step, row in zip(norms.step.tolist(), norms.grad_norms, strict=True):
        assert row.tobytes() == known[step].tobytes()
    history = RunHistory()
    history.take(whole)
    assert history.layers is not None
    assert (history.layers.window(1, 20_001, 64).count > 0).all(), "the heat map has no gaps"


def test_a_screen_that_attaches_folds_what_one_that_was_there_from_the_start_has() -> None:
    folder = RunFolder.create("grows")
    with closing(open_to_write(folder.database)) as connection:
        writer = Writer(connection)
        writer.write(Batch((), notices([(0, RunStarted(run_info(LAYERS)))])))
        early = AttachedRun(folder)
        from_start = RunHistory()
        for first in range(1, 3001, 50):
            writer.write(Batch((steps(first, 50, 3),)))
            from_start.take(early.drain())
        late = AttachedRun(folder)
        attached = RunHistory()
        attached.take(late.drain())
        for first in range(3001, 3201, 50):
            writer.write(Batch((steps(first, 50, 3),)))
            from_start.take(early.drain())
            attached.take(late.drain())
        early.close()
        late.close()
    assert attached.step == from_start.step == 3200
    ours, theirs = attached.losses.window(1, 3201, 200), from_start.losses.window(1, 3201, 200)
    for name in ("first_step", "min", "max", "mean", "count"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5)
    assert attached.layers is not None and from_start.layers is not None
    recent = attached.layers.tail(1, 600), from_start.layers.tail(1, 600)
    assert recent[0].mean.tobytes() == recent[1].mean.tobytes()
    assert attached.totals == from_start.totals


def take_until(run: AttachedRun, is_enough: Callable[[Batch], object]) -> list[Batch]:
    """The batches that the run gives until one is enough."""
    deadline = time.monotonic() + 60
    taken = [run.drain()]
    while not is_enough(taken[-1]):
        assert time.monotonic() < deadline
        time.sleep(0.001)
        taken.append(run.drain())
    return taken


def test_a_record_that_is_read_ahead_comes_whole_once_it_is_read() -> None:
    folder = record(RunFolder.create("long"), 6000, LAYERS, bodies=story(6000))
    run = AttachedRun(folder)
    run.read_ahead()
    *before, whole = take_until(run, lambda batch: batch.notices)
    assert not any(batch.blocks for batch in before)
    assert sum(map(len, whole.blocks)) == 6000 and isinstance(whole.notices[-1].body, RunEnded)
    following = run.drain()
    assert not following.blocks and not following.notices
    run.close()
    leaving = AttachedRun(folder)
    leaving.read_ahead()
    leaving.close()  # while it is read, or just before


def test_a_damaged_record_that_is_read_ahead_says_so_on_the_screen() -> None:
    folder = record(RunFolder.create("damaged"), 50, LAYERS)
    with closing(sqlite3.connect(folder.database)) as connection, connection:
        connection.execute("UPDATE steps SET data = 'text'")
    run = AttachedRun(folder)
    run.read_ahead()
    ended = take_until(run, lambda batch: batch.notices)[-1].notices[-1].body
    run.close()
    assert isinstance(ended, RunEnded) and ended.reason == "failed"
    assert ended.error == "a chunk of steps is no data"
