"""What a run's folder costs beside the record: checkpoints, and processes that read it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from tests.bench.figures import Figure
from tests.bench.recording import products_in_a_step
from tests.e2e.terminal import VGRAD_TUI
from tests.engine.store.recorded import run_info, steps
from tests.engine.toys import toy_trainer
from torch import nn

import vgrad
from vgrad.events.hub import Hub
from vgrad.events.notices import RunStarted
from vgrad.store.folder import RunFolder
from vgrad.store.recorder import Recorder

_LAYERS = 100


def figures(quick: bool) -> Iterator[Figure]:
    """Capturing a state, its size, and what ten viewers take of the thread that trains."""
    yield from _checkpoint(quick)
    yield _ten_viewers(quick)


def _checkpoint(quick: bool) -> Iterator[Figure]:
    """Time that training waits while the state of a model is captured, and the size of that on disk."""
    model = nn.Sequential(*(nn.Linear(1000, 1000, bias=False) for _ in range(10)))
    task = vgrad.Task(
        model=model,
        optimizer=torch.optim.Adam(model.parameters()),
        data=[(torch.ones(1, 1000), torch.ones(1, 1000))],
        loss=nn.MSELoss(),
    )
    trainer = toy_trainer(task)
    trainer.train_step()
    took_ms = []
    for _ in range(3 if quick else 15):
        begin = time.perf_counter()
        state = trainer.capture()
        took_ms.append(1e3 * (time.perf_counter() - begin))
    with tempfile.TemporaryDirectory() as place:
        state.save(Path(place) / "state")
        size = sum(file.stat().st_size for file in (Path(place) / "state").iterdir())
    low, median, high = np.quantile(took_ms, [0.25, 0.5, 0.75])
    note = "10 M parameters with Adam; one in 200 parts of the time at most"
    yield Figure("checkpoint.capture", float(median), "ms", low=float(low), high=float(high), note=note)
    yield Figure(
        "checkpoint.size", size / 2**20, "MiB", note="of the same, on disk; weights are 38 MiB of it"
    )


def _ten_viewers(quick: bool) -> Figure:
    """Processor time of the thread that trains, with ten processes that follow the run and with none."""
    matrix = np.random.default_rng(0).random((256, 256), dtype=np.float32)
    repeats, ratios = products_in_a_step(matrix), []
    num = 100 if quick else 400
    with tempfile.TemporaryDirectory() as home:
        folder = RunFolder(Path(home) / "runs" / "viewed")
        folder.path.mkdir(parents=True)
        folder.lock()
        hub, made = Hub(), 0
        hub.notify(RunStarted(run_info([f"layer{index}" for index in range(_LAYERS)])))

        def seconds_of_a_step() -> float:
            nonlocal made
            blocks = [steps(made + number, 1, _LAYERS) for number in range(1, num + 1)]
            made += num
            begin = time.thread_time()
            for block in blocks:
                for _ in range(repeats):
                    matrix @ matrix
                hub.put(block)
            return (time.thread_time() - begin) / num

        with Recorder(hub.cursor, folder):
            seconds_of_a_step()
            for _ in range(2 if quick else 5):
                alone = seconds_of_a_step()
                with _following(home, 10):
                    ratios.append(seconds_of_a_step() / alone)
        folder.unlock()
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return Figure(
        "viewers.10", float(median), "x", 1.02, low=float(low), high=float(high),
        note="processor time of the training thread, with 10 x `tail --follow --steps` against none",
    )  # fmt: skip


@contextmanager
def _following(home: str, num: int) -> Iterator[None]:
    """So many processes that print every step of the run, until the block ends."""
    command = [VGRAD_TUI, "tail", "viewed", "--follow", "--steps"]
    environment = os.environ | {"VGRAD_HOME": home}
    # Into files: a thread that read them in this process would take turns with the one that trains.
    printed = [Path(home) / f"viewer-{number}.txt" for number in range(num)]
    viewers = []
    for path in printed:
        with path.open("w", encoding="utf-8") as file:
            viewers.append(subprocess.Popen(command, stdout=file, env=environment))
    try:
        while not all(path.stat().st_size for path in printed):  # they read
            time.sleep(0.01)
        yield
    finally:
        for viewer in viewers:
            viewer.kill()
            viewer.wait()
