"""Folders of runs that nobody trained: made at once by the same writer, of any length and with any names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from vgrad.controls.controls import Controls, Set
from vgrad.events.batch import Batch, Snapshot
from vgrad.events.notices import CommandApplied, Notice, NoticeBody, RunEnded, RunStarted, VerdictChanged
from vgrad.events.run_info import RunInfo
from vgrad.events.step_block import StepBlock
from vgrad.events.verdict import Verdict
from vgrad.methods.clip import ClipGradNorm
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.writer import Writer

STEP_S = 0.01
STARTED_S = 1_780_000_000.0


def run_info(layers: Sequence[str], *, recipe: str = "made-up", num_steps: int | None = None) -> RunInfo:
    """What a run of these layers is."""
    sizes = (100,) * len(layers)
    return RunInfo(
        recipe, "nobody trained it", 0, "cpu", tuple(layers), sizes, "samples", num_steps, Controls()
    )


def steps(first: int, num: int, num_layers: int, *, part: int = 0, seed: int = 0) -> StepBlock:
    """Steps as a run has them: noisy losses and norms, computed in float32."""
    generator = np.random.default_rng([seed, first])
    step = np.arange(first, first + num)
    noise = generator.normal(size=num).astype(np.float32)
    loss = (np.float32(4.0) / np.sqrt(step).astype(np.float32) + np.abs(noise) * np.float32(0.01)).astype(
        np.float64
    )
    norm = (np.abs(noise) + np.float32(0.1)).astype(np.float64)
    layers = generator.lognormal(size=(num, num_layers)).astype(np.float32)
    elapsed = (step * STEP_S).astype(np.float64)
    ones = np.ones(num, dtype=np.int64)
    same = np.full(num, 0.1)
    return StepBlock(
        part=part, links=(), step=step, loss=loss, loss_known=np.ones(num, dtype=np.bool_), lr=same,
        base_lr=same, grad_norm=norm, applied_norm=norm, grad_norms=layers, num_tokens=ones * 0,
        num_samples=ones * 32, num_microbatches=ones, elapsed_s=elapsed,
        step_s=np.full(num, STEP_S) + np.abs(generator.normal(size=num)) * 1e-3,
        watch_s=np.abs(generator.normal(size=num)) * 1e-4, link_norms=None,
        microbatch_square=np.full(num, np.nan), skipped=np.zeros(num, dtype=np.bool_),
        loss_scale=np.ones(num), max_lr=same,
    )  # fmt: skip


def notices(bodies: Sequence[tuple[int, NoticeBody]], *, first: int = 0) -> tuple[Notice, ...]:
    """Notices at these steps, each when its step was done."""
    return tuple(
        Notice(first + number, STARTED_S + step * STEP_S, step, 0, body)
        for number, (step, body) in enumerate(bodies)
    )


def ended(step: int, **changes: object) -> RunEnded:
    """The end of a run after ``step`` steps."""
    values = {"reason": "done", "loss_first": 4.0, "loss_last": 1.0, "val_loss": None, "steps_per_s": 100.0}
    return RunEnded(step, **{**values, **changes})  # type: ignore[arg-type]


def record(
    folder: RunFolder,
    num_steps: int,
    layers: Sequence[str],
    *,
    bodies: Sequence[tuple[int, NoticeBody]] = (),
    per_batch: int = 25,
    snapshot: Snapshot | None = None,
    recipe: str = "made-up",
) -> RunFolder:
    """Write a run of ``num_steps`` steps, ``per_batch`` at a time as a recorder does, and its notices."""
    with closing(open_to_write(folder.database)) as connection:
        # Nothing can be lost here, and a million steps are a hundred thousand commits.
        connection.execute("PRAGMA synchronous = OFF")
        writer = Writer(connection)
        started = (0, RunStarted(run_info(layers, recipe=recipe)))
        waiting = list(notices([started, *bodies]))
        for first in range(1, num_steps + 1, per_batch):
            num = min(per_batch, num_steps + 1 - first)
            now = tuple(notice for notice in waiting if notice.step < first + num)
            waiting = waiting[len(now) :]
            writer.write(Batch((steps(first, num, len(layers)),), now))
        writer.write(Batch((), tuple(waiting), {} if snapshot is None else {0: snapshot}))
        writer.finish()
    return folder


def story(num_steps: int) -> list[tuple[int, NoticeBody]]:
    """A command and a verdict at a third and two thirds of a run, and its end."""
    clip = Set("clip", ClipGradNorm(1.0))
    third = max(1, num_steps // 3)
    return [
        (third, CommandApplied(third, clip, Controls(clip=ClipGradNorm(1.0)))),
        (2 * third, VerdictChanged(2 * third, Verdict("exploding", "the norm grew 40 times", (0,), (clip,)))),
        (num_steps, ended(num_steps)),
    ]
