"""What a frame costs the UI thread, by the number of layers and by the length of the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import numpy as np
from tests.bench.figures import Figure
from tests.tui.scripted import ScriptedSource, make_info, make_record, make_stats

from vgrad.records import Batch, RunStarted
from vgrad_tui.app import VgradApp
from vgrad_tui.painter import Painter

_RECORDS_PER_FRAME = 3  # a model of thousands of layers does not take thousands of steps a second
_FEW, _MANY = 100, 10_000
_SHORT, _LONG = 1_000, 1_000_000
_LIMIT = 1.5
_OTHER_VIEWS = ("heat", "histogram", "chain")


def figures(quick: bool) -> Iterator[Figure]:
    """Frame costs and their ratios; a million steps are laid down by a few records each."""
    num_frames = 8 if quick else 60
    between = () if quick else ((1_000, _SHORT), (_FEW, _LONG))
    costs = {
        (layers, steps): asyncio.run(_frame_ms(layers, steps, num_frames))
        for layers, steps in ((_FEW, _SHORT), *between, (_MANY, _SHORT), (_MANY, _LONG))
    }
    for (layers, steps), cost in costs.items():
        yield Figure(
            f"scale.frame.{layers}_layers.{steps}_steps", cost, "ms", note="table, chart and top line, 160x50"
        )
    by_layers = costs[_MANY, _SHORT] / costs[_FEW, _SHORT]
    by_steps = costs[_MANY, _LONG] / costs[_MANY, _SHORT]
    yield Figure("scale.frame.by_layers", by_layers, "x", _LIMIT, note=f"{_MANY:,} layers against {_FEW}")
    yield Figure("scale.frame.by_steps", by_steps, "x", _LIMIT, note=f"{_LONG:,} steps against {_SHORT:,}")
    for view in _OTHER_VIEWS:
        few, many = (asyncio.run(_frame_ms(layers, _LONG, num_frames, view)) for layers in (_FEW, _MANY))
        note = f"{_MANY:,} layers ({many:.1f} ms) against {_FEW} ({few:.1f} ms), {_LONG:,} steps"
        yield Figure(f"scale.frame.{view}.by_layers", many / few, "x", _LIMIT, note=note)


async def _frame_ms(num_layers: int, num_steps: int, num_frames: int, view: str = "layers") -> float:
    """Median milliseconds of the UI thread's processor time for a frame with new records."""
    source = ScriptedSource()
    app = VgradApp(source)
    painter = Painter()
    times = []
    async with app.run_test(size=(160, 50)) as pilot:
        names = tuple(f"blocks.{index}.weight" for index in range(num_layers))
        app.state.take(Batch(notices=(RunStarted(make_info(names, num_steps=None)),)))
        stride = max(1, num_steps // 2_000)
        for step in range(stride, num_steps + 1, stride):
            app.state.take(Batch((make_record(step, num_layers),)))
        app.main.choose_view(view)
        await pilot.pause()
        step = num_steps
        random = np.random.default_rng(0)
        for _ in range(num_frames):
            records = []
            for _ in range(_RECORDS_PER_FRAME):
                step += 1
                norms = (10.0 ** random.normal(-2, 0.5, num_layers)).astype(np.float32)
                records.append(make_record(step, num_layers, grad_norms=norms))
            batch = Batch(tuple(records), (), make_stats(step, num_layers))
            begin = time.thread_time()
            app.state.take(batch)
            app.main.show(app.spare_clip, chart=True)
            painter.reduce(app.screen._compositor.render_full_update(), app.console)
            times.append(1e3 * (time.thread_time() - begin))
    return float(np.median(times))
