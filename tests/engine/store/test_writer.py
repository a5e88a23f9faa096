"""After a write has failed, a new writer goes on as the one before would have."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
from tests.engine.store.recorded import notices, record, run_info, steps

from vgrad.events.batch import Batch, Snapshot
from vgrad.events.notices import RunStarted
from vgrad.events.run_info import Parent
from vgrad.events.verdict import Verdict
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.layer_levels import NUM_LEVELS
from vgrad.store.reader import RunReader
from vgrad.store.writer import Writer

LAYERS = ("a", "b")
PER_BATCH = 25
NUM_STEPS = 20_000


def layers_of(folder: RunFolder, level: int) -> list[tuple[int, bytes]]:
    with RunReader(folder) as reader:
        return [
            (step, norms.tobytes())
            for block in reader.layers(0, level)
            for step, norms in zip(block.step.tolist(), block.grad_norms, strict=True)
        ]


def test_every_level_of_the_norms_per_layer_is_as_if_writing_had_never_failed() -> None:
    straight = record(RunFolder.create("straight"), NUM_STEPS, LAYERS, per_batch=PER_BATCH)
    folder = RunFolder.create("interrupted")
    with closing(open_to_write(folder.database)) as connection:
        writer = Writer(connection)
        writer.write(Batch((), notices([(0, RunStarted(run_info(LAYERS)))])))
        for first in range(1, NUM_STEPS, PER_BATCH):
            if first % 1175 == 1:  # before, between and after the chunks of coarse rows
                writer = Writer(connection)
            writer.write(Batch((steps(first, PER_BATCH, len(LAYERS)),)))
        writer.finish()
    for level in range(NUM_LEVELS):
        assert layers_of(folder, level) == layers_of(straight, level), level
    with RunReader(folder) as reader, RunReader(straight) as other:
        steps_of = [np.concatenate([block.step for block in each.steps(0)]) for each in (reader, other)]
    assert steps_of[0].tolist() == steps_of[1].tolist() == list(range(1, NUM_STEPS + 1))


def test_a_list_of_runs_still_says_what_it_trains_and_when_it_began() -> None:
    folder = RunFolder.create("listed")
    info = replace(run_info(LAYERS), parent=Parent("an-older-run", 7))
    with closing(open_to_write(folder.database)) as connection, closing(RunReader(folder)) as reader:
        Writer(connection).write(Batch((), notices([(0, RunStarted(info))])))
        before = reader.status()
        Writer(connection).write(Batch((steps(1, 5, len(LAYERS)),)))
        after = reader.status()
    assert after == {**before, "step": 5, "loss": after["loss"]}
    assert after["recipe"] == "made-up" and after["parent"] == {"run": "an-older-run", "step": 7}
    assert after["started_s"] is not None


def test_a_screen_that_was_attached_gets_the_newest_statistics() -> None:
    folder = RunFolder.create("shown")
    with closing(open_to_write(folder.database)) as connection, closing(RunReader(folder)) as reader:
        writer = Writer(connection)
        for kind in ("starting", "healthy", "stalled"):
            writer.write(Batch(snapshots={0: Snapshot(verdict=Verdict(kind, ""))}))
        reader.take()
        Writer(connection).write(Batch(snapshots={0: Snapshot(verdict=Verdict("exploding", ""))}))
        verdict = reader.take().snapshots[0].verdict
    assert verdict is not None and verdict.kind == "exploding"
