"""What a frame costs the UI thread, by the number of layers and by the length of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tests.batches import make_batch
from tests.bench.figures import Figure
from tests.tui.scripted import ScriptedSource, make_info, make_record, make_stats

from vgrad.events.notices import RunStarted
from vgrad_tui.app.app import VgradApp
from vgrad_tui.terminal.cell_diff import CellDiff

_RECORDS_PER_FRAME = 3  # a model of thousands of layers does not take thousands of steps a second
_FEW, _MANY = 100, 10_000
_SHORT, _LONG = 1_000, 1_000_000
_LIMIT = 1.5
_OTHER_VIEWS = ("heat", "histogram", "chain")


@dataclass(frozen=True, slots=True)
class Case:
    """A screen to draw."""

    num_layers: int
    num_steps: int
    view: str = "layers"


Times = NDArray[np.float64]


def figures(quick: bool) -> Iterator[Figure]:
    """Frame costs and their ratios; a million steps are laid down by a few records each."""
    num_frames = 8 if quick else 60
    between = () if quick else (Case(1_000, _SHORT), Case(_FEW, _LONG))
    few, many, long = Case(_FEW, _SHORT), Case(_MANY, _SHORT), Case(_MANY, _LONG)
    times = asyncio.run(_times([few, *between, many, long], num_frames))
    for case, found in times.items():
        name = f"scale.frame.{case.num_layers}_layers.{case.num_steps}_steps"
        note = "table, chart and top line, 160x50"
        yield Figure(name, float(np.median(found)), "ms", note=note)
    note = f"{_MANY:,} layers against {_FEW}"
    yield _ratio("scale.frame.by_layers", times[many], times[few], note)
    note = f"{_LONG:,} steps against {_SHORT:,}"
    yield _ratio("scale.frame.by_steps", times[long], times[many], note)
    for view in _OTHER_VIEWS:
        few, many = Case(_FEW, _LONG, view), Case(_MANY, _LONG, view)
        times = asyncio.run(_times([few, many], num_frames))
        many_ms, few_ms = np.median(times[many]), np.median(times[few])
        note = f"{_MANY:,} layers ({many_ms:.1f} ms) against {_FEW} ({few_ms:.1f} ms), {_LONG:,} steps"
        yield _ratio(f"scale.frame.{view}.by_layers", times[many], times[few], note)


def _ratio(name: str, times: Times, to: Times, note: str) -> Figure:
    """Of the frames that were drawn one after the other."""
    low, median, high = np.quantile(times / to, [0.25, 0.5, 0.75])
    return Figure(name, float(median), "x", _LIMIT, low=float(low), high=float(high), note=note)


async def _times(cases: Sequence[Case], num_frames: int) -> dict[Case, Times]:
    """Milliseconds of every frame of every case; all draw their frames in turn."""
    turn = asyncio.Barrier(len(cases))
    found = await asyncio.gather(*(_frames_ms(case, num_frames, turn) for case in cases))
    return dict(zip(cases, found, strict=True))


async def _frames_ms(case: Case, num_frames: int, turn: asyncio.Barrier) -> Times:
    """The UI thread's processor time for each frame with new records."""
    num_layers, step = case.num_layers, case.num_steps
    source = ScriptedSource()
    app = VgradApp(source)
    painter = CellDiff()
    times = []
    async with app.run_test(size=(160, 50)) as pilot:
        names = tuple(f"blocks.{index}.weight" for index in range(num_layers))
        app.state.take(make_batch(notices=(RunStarted(make_info(names, num_steps=None)),)))
        stride = max(1, step // 2_000)
        for past in range(stride, step + 1, stride):
            app.state.take(make_batch((make_record(past, num_layers),)))
        app.main.choose_view(case.view)
        await pilot.pause()
        random = np.random.default_rng(0)
        for _ in range(num_frames):
            records = []
            for _ in range(_RECORDS_PER_FRAME):
                step += 1
                norms = (10.0 ** random.normal(-2, 0.5, num_layers)).astype(np.float32)
                records.append(make_record(step, num_layers, grad_norms=norms))
            batch = make_batch(tuple(records), (), make_stats(step, num_layers))
            await turn.wait()
            begin = time.thread_time()
            app.state.take(batch)
            app.main.refresh_view(chart=True)
            painter.reduce(app.screen._compositor.render_full_update(), app.console)
            times.append(1e3 * (time.thread_time() - begin))
    return np.array(times)
