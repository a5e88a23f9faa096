"""What a screen reads first of a long run: every step, in few pieces, and norms per layer as they show."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from tests.engine.store.recorded import notices, record, run_info, steps, story

from vgrad.events.batch import Batch
from vgrad.events.notices import RunStarted
from vgrad.run.run_history import RunHistory
from vgrad.store.attached_run import AttachedRun
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
        assert ours.tobytes() == np.concatenate([getattr(block, name) for block in everything]).tobytes()
    assert len(whole.blocks) <= 2
    assert whole.blocks[-1].grad_norms.shape[1] == len(LAYERS), "the newest have their layers"
    assert isinstance(whole.notices[0].body, RunStarted)


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
    ours, theirs = attached.scalars.window(1, 3201, 200), from_start.scalars.window(1, 3201, 200)
    for name in ("first_step", "min", "max", "mean", "count"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5)
    assert attached.layers is not None and from_start.layers is not None
    recent = attached.layers.tail(1, 600), from_start.layers.tail(1, 600)
    assert recent[0].mean.tobytes() == recent[1].mean.tobytes()
    assert attached.totals == from_start.totals
