"""What recording costs: time beside training, and bytes of a day's record."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from tests.bench.figures import Figure
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.engine.store.recorded import record, steps, story

from vgrad.events.batch import Batch
from vgrad.events.hub import Hub
from vgrad.store.database import open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.layer_levels import NUM_LEVELS, LayerLevels
from vgrad.store.reader import RunReader
from vgrad.store.recorder import Recorder
from vgrad.store.writer import Writer

_STEP_S = 0.005
_LAYERS = 100
_DAY = 24 * 3600 * 100  # steps, at 100 a second
_DAY_LAYERS = 1000


def figures(quick: bool) -> Iterator[Figure]:
    """Time of a step of 5 ms beside the recorder, and the size of a day of 1,000 layers."""
    ratios = [_with_recorder(True, quick) / _with_recorder(False, quick) for _ in range(3 if quick else 9)]
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    yield Figure(
        "recording.5ms-step", float(median), "x", 1.01, low=float(low), high=float(high),
        note="100 layers; a step of 5 ms recorded, against one that is not",
    )  # fmt: skip
    yield Figure("recording.day-of-1000-layers", _day_mib(), "MiB", 1000, note="100 steps/s; extrapolated")
    yield from _first_screen(quick)


def _with_recorder(is_recorded: bool, quick: bool) -> float:
    """Seconds of a step of fixed work that ends by putting its numbers into the hub."""
    matrix = np.random.default_rng(0).random((256, 256), dtype=np.float32)
    blocks = [steps(number, 1, _LAYERS) for number in range(1, 202 if quick else 602)]
    hub = Hub()
    took: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        recorder = Recorder(hub.cursor, RunFolder(Path(place) / "run"))
        if is_recorded:
            recorder.start()
        repeats = products_in_a_step(matrix)
        for block in blocks:
            begin = time.perf_counter()
            for _ in range(repeats):
                matrix @ matrix
            hub.put(block)
            took.append(time.perf_counter() - begin)
        recorder.close()
    return statistics.median(took)


def products_in_a_step(matrix: np.ndarray) -> int:
    """How many products of two such matrices take as long as a step of 5 ms."""
    took = []
    for _ in range(200):
        begin = time.perf_counter()
        matrix @ matrix
        took.append(time.perf_counter() - begin)
    return max(1, round(_STEP_S / statistics.median(took)))


def _day_mib() -> float:
    """Bytes per step of what is kept in full, times a day; and the norms per layer as full as they get."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "run.sqlite"
        with closing(open_to_write(path)) as connection:
            writer = Writer(connection)
            num = 25 * 128 * 2  # two large chunks
            for first in range(1, num + 1, 25):
                writer.write(Batch((steps(first, 25, _DAY_LAYERS),)))
            [scalars] = connection.execute("SELECT sum(length(data)) FROM steps").fetchone()
            [layers, rows] = connection.execute(
                "SELECT sum(length(data)), count(*) * 25 FROM layers WHERE level = 0"
            ).fetchone()
    full = LayerLevels(_DAY_LAYERS).rows_per_level * NUM_LEVELS
    return float(scalars / num * _DAY + layers / rows * full) / 2**20


def _first_screen(quick: bool) -> Iterator[Figure]:
    """Seconds until a screen that attaches to a million steps has them, and until it shows the last one."""
    from vgrad.run.run_history import RunHistory

    num = 200_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "runs" / "long"
        path.mkdir(parents=True)
        layers = [f"layer{index}" for index in range(30)]
        folder = record(RunFolder(path), num, layers, bodies=story(num), per_batch=100)
        took_s, shown_s = [], []
        for _ in range(3 if quick else 9):
            begin = time.perf_counter()
            with RunReader(folder) as reader:
                RunHistory().take(reader.overview())
            took_s.append(time.perf_counter() - begin)
            shown_s.append(_shown(place, f"{num:,}".encode()))
    for name, values, note in (
        ("attach.history", took_s, "read and folded"),
        ("attach.first_screen", shown_s, "from the command to the last step on a screen of 160x50"),
    ):
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        yield Figure(
            name, float(median), "s", 1.0, low=float(low), high=float(high),
            note=f"{note}, {num:,} steps of 30 layers",
        )  # fmt: skip


def _shown(home: str, words: bytes) -> float:
    """Seconds from the command to ``words`` in what it writes to the terminal."""
    with Terminal(
        [VGRAD_TUI, "attach", "long"], columns=160, lines=50, environ={"VGRAD_HOME": home}
    ) as terminal:
        terminal.keep_raw = True
        while words not in terminal.raw:
            time.sleep(0.005)
        return time.perf_counter() - terminal.started
