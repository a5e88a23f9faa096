"""The screen, as pictures: after a change on purpose look at them, then `pytest --snapshot-update`."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.batches import make_batch
from tests.tui.driving import play, pull
from tests.tui.scripted import (
    LINKS,
    ScriptedSource,
    ended,
    make_record,
    make_stats,
    records,
    script,
    time_stats,
)
from textual.pilot import Pilot

from vgrad.controls.controls import Controls, Pause, Reinit, Set
from vgrad.events.batch import Batch
from vgrad.events.notices import CommandApplied, CommandRejected, VerdictChanged
from vgrad.events.rank_stats import RankStats
from vgrad.events.verdict import Verdict
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.precision import Float16
from vgrad_tui.app.app import VgradApp
from vgrad_tui.widgets import topline

CLIP = Set("clip", ClipGradNorm(1.0))
CONTROL_SIZES = [(50, 20), (80, 24), (160, 50)]
SIZES = [(50, 20), (80, 24), (120, 36), (200, 60)]

Compare = Callable[..., bool]
Script = Callable[[Pilot[None]], Awaitable[None]]


@pytest.fixture(autouse=True)
def _same_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many colours there are depends on the terminal that the tests run in."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


def up_to_date(run_before: Script) -> Script:
    """The same, and then everything is drawn: the chart is not part of every refresh."""

    async def run(pilot: Pilot[None]) -> None:
        await run_before(pilot)
        assert isinstance(pilot.app, VgradApp)
        pilot.app.refresh_view(chart=True)
        await pilot.pause()

    return run


async def steered(pilot: Pilot[None], source: ScriptedSource) -> None:
    """A run with one change applied, one asked for, and a verdict that names a remedy."""
    await play(pilot, source)
    await pilot.press("c")
    await pull(
        pilot, source, make_batch(notices=(CommandApplied(301, CLIP, Controls(clip=ClipGradNorm(1.0))),))
    )
    await pull(pilot, source, make_batch(records(301, 420), stats=make_stats(420)))
    verdict = Verdict(
        "exploding",
        "at step 415 ‖g‖ was 43× its median",
        remedy=(Set("clip", ClipGradNorm(0.5)),),
        confidence=0.67,
    )
    await pull(pilot, source, make_batch(notices=(VerdictChanged(415, verdict),)))
    await pilot.press("a")
    assert source.submitted == [CLIP, Set("accumulate", MeanOver(2))]


@pytest.mark.parametrize("size", SIZES, ids=[f"{columns}x{lines}" for columns, lines in SIZES])
def test_a_steered_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)

    assert snap_compare(VgradApp(source), terminal_size=size, run_before=up_to_date(run_before))


def test_before_the_model_is_ready(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topline, "time", SimpleNamespace(monotonic=lambda: 0.0))  # it has waited for no time
    assert snap_compare(VgradApp(ScriptedSource()), terminal_size=(80, 24))


def test_the_end(snap_compare: Compare) -> None:
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)
        await pull(pilot, source, make_batch(notices=(ended(420),)))

    assert snap_compare(VgradApp(source), terminal_size=(80, 24), run_before=up_to_date(run_before))


@pytest.mark.parametrize("key", ["question_mark", "j", "enter", "q"])
def test_what_lies_over_it(snap_compare: Compare, key: str) -> None:
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)
        await pilot.press(key)
        await pilot.pause()

    assert snap_compare(VgradApp(source), terminal_size=(100, 30), run_before=up_to_date(run_before))


def test_the_ranks(snap_compare: Compare) -> None:
    source = ScriptedSource()
    alike = RankStats(0, "a", 11, 420, 0.026, 0.41, measured_step=416, local_norm=1.3, wait_s=0.019)
    ranks = (
        alike,
        replace(alike, rank=1, wait_s=0.001),
        replace(alike, rank=2, host="b", loss=math.nan, num_non_finite=4, first_non_finite=417),
        RankStats(3, problem="it is not watched"),
    )

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)
        await pull(pilot, source, Batch(ranks=ranks))
        await pilot.press("R")
        await pilot.pause()
        await pilot.pause()

    assert snap_compare(VgradApp(source), terminal_size=(100, 30), run_before=up_to_date(run_before))


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
@pytest.mark.parametrize("view", ["layers", "heat", "histogram", "time", "chain"])
def test_a_view(snap_compare: Compare, view: str, size: tuple[int, int]) -> None:
    """Forty layers, one of which has seen a spike, an infinity and zeros."""
    source = ScriptedSource()
    layers = tuple(f"blocks.{index}.weight" for index in range(40))

    async def run_before(pilot: Pilot[None]) -> None:
        await pilot.press({"layers": "1", "heat": "2", "histogram": "3", "time": "4", "chain": "5"}[view])
        await play(pilot, source, script(300, layers))
        steps = records(301, 360, len(layers))
        for record in steps[10:20]:
            record.grad_norms[30] = 0.0
        steps[30].grad_norms[30] = np.inf
        steps[40].grad_norms[30] = np.nan
        steps[50].grad_norms[30] = 1e3
        links = LINKS
        norms = np.array([43.1, 1.0, 1.02], dtype=np.float32)
        last = make_record(361, len(layers), grad_norm=43.1, applied_norm=1.02, links=links, link_norms=norms)
        await pull(
            pilot, source, make_batch((*steps, last), stats=make_stats(361, 40), time_stats=time_stats(350))
        )
        await pull(pilot, source)

    assert snap_compare(VgradApp(source), terminal_size=size, run_before=up_to_date(run_before))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=["80x24", "120x36"])
def test_the_output_of_a_script(snap_compare: Compare, size: tuple[int, int], tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    epochs = "".join(
        f"\r  0%|          | 0/10\r100%|██████████| 10/10\nepoch {epoch} \x1b[32mdone\x1b[0m\n"
        for epoch in range(9)
    )
    log.write_text(
        epochs
        + "a line that is wider than the screen " * 5
        + "\n  0%|          | 0/10\r 50%|█████     | 5/10"
    )
    source = ScriptedSource(log=log)

    async def run_before(pilot: Pilot[None]) -> None:
        await pilot.press("6")
        await steered(pilot, source)

    assert snap_compare(VgradApp(source), terminal_size=size, run_before=up_to_date(run_before))


@pytest.mark.parametrize(
    "size", CONTROL_SIZES, ids=[f"{columns}x{lines}" for columns, lines in CONTROL_SIZES]
)
def test_all_controls(snap_compare: Compare, size: tuple[int, int]) -> None:
    """One control changed, one asked for, one chosen after it was refused; the chosen one is explained."""
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)
        await pilot.press("m", "down", "right", "enter")
        now = Controls(clip=ClipGradNorm(1.0), accumulate=MeanOver(2))
        applied = CommandApplied(421, source.submitted[1], now)
        refused = CommandRejected(421, source.submitted[2], "this model cannot be asked twice")
        await pull(pilot, source, make_batch(notices=(applied, refused)))
        await pilot.press("up", "right", "enter", "down", "right")

    assert snap_compare(VgradApp(source), terminal_size=size, run_before=up_to_date(run_before))


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
def test_a_lost_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    """NaN in float16: paused, with its remedy, its loss scale and what underflows."""
    source = ScriptedSource()
    controls = Controls(precision=Float16())

    async def run_before(pilot: Pilot[None]) -> None:
        await play(pilot, source)
        half = CommandApplied(301, Set("precision", Float16()), controls)
        await pull(pilot, source, make_batch(notices=(half,)))
        stats = make_stats(302)
        stats.underflow_share[:] = np.array([0, 0.004, 0.25, 0.6, 0.999, 1], dtype=np.float32)
        lost = make_record(302, loss=np.nan, loss_scale=65536.0, skipped=True)
        lost.grad_norms[:] = np.nan
        await pull(pilot, source, make_batch((make_record(301, loss_scale=65536.0), lost), stats=stats))
        remedy = (Set("clip", ClipGradNorm(0.5)), Reinit("torch"))
        verdict = Verdict("non-finite", "at step 302 the loss is nan", remedy=remedy, confidence=0.89)
        await pull(pilot, source, make_batch(notices=(VerdictChanged(302, verdict),)))
        paused = CommandApplied(303, Pause(), replace(controls, paused=True))
        await pull(pilot, source, make_batch(notices=(paused,)))

    assert snap_compare(VgradApp(source), terminal_size=size, run_before=up_to_date(run_before))
