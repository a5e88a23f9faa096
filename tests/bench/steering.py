"""How long a command takes from being sent to being applied: in this process, and in another one."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from tests.bench.figures import Figure

from vgrad.config import RunConfig
from vgrad.controls.controls import Command, Set, Stop
from vgrad.events.batch import Batch
from vgrad.events.notices import CommandApplied
from vgrad.run.detached import start
from vgrad.run.session import Session
from vgrad.store.attached_run import AttachedRun

_LIMIT_MS = 150.0
_LONGEST_S = 30.0
_LOOK_S = 0.001
# Without validation, so that nothing but the step in progress stands before a command.
_CONFIG = RunConfig(recipe="charlm-rnn", eval_every=0, batch_size=8, options={"seq_len": 16, "hidden": 64})


def figures(quick: bool) -> Iterator[Figure]:
    """95th percentile of the time from a command to the step that it takes effect at."""
    num_commands = 10 if quick else 60
    session = Session.from_config(_CONFIG)
    cursor = session.cursor()
    session.start()
    try:
        yield _figure("steering.in-process", session.submit, cursor.take, num_commands)
    finally:
        session.stop()
        session.join()
    with tempfile.TemporaryDirectory() as home:
        os.environ["VGRAD_HOME"] = home
        run = AttachedRun(start(_CONFIG))
        try:
            yield _figure("steering.attached", run.submit, run.drain, num_commands)
        finally:
            run.submit(Stop())
            run.join(_LONGEST_S)
            run.close()


def _figure(
    name: str, submit: Callable[[Command], str], take: Callable[[], Batch], num_commands: int
) -> Figure:
    _next_steps(take, 20)
    took_ms, step_ms = [], []
    for index in range(num_commands):
        sent_s = time.time()
        applied_s = _applied_s(submit(Set("clip", "norm:1" if index % 2 else "off")), take)
        took_ms.append(1e3 * (applied_s - sent_s))
        step_ms.append(1e3 * _next_steps(take, 3))
    low, high = np.quantile(took_ms, [0.25, 0.75])
    return Figure(
        name, float(np.quantile(took_ms, 0.95)), "ms", _LIMIT_MS + float(np.median(step_ms)),
        low=float(low), high=float(high),
        note=f"95th percentile of {num_commands}; a step takes {np.median(step_ms):.1f} ms",
    )  # fmt: skip


def _applied_s(command_id: str, take: Callable[[], Batch]) -> float:
    """When the command with this id was applied, Unix time in seconds."""
    for batch in _batches(take):
        for notice in batch.notices:
            if isinstance(notice.body, CommandApplied) and notice.command_id == command_id:
                return notice.time_s
    raise TimeoutError("the command was not answered")


def _next_steps(take: Callable[[], Batch], num: int) -> float:
    """Wait for ``num`` steps, and return the seconds that each took."""
    begin, seen = time.perf_counter(), 0
    for batch in _batches(take):
        seen += sum(len(block.step) for block in batch.blocks)
        if seen >= num:
            return (time.perf_counter() - begin) / seen
    raise TimeoutError("the run does not train")


def _batches(take: Callable[[], Batch]) -> Iterator[Batch]:
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        yield take()
        time.sleep(_LOOK_S)
