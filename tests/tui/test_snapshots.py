"""The screen, as pictures: after a change on purpose look at them, then `pytest --snapshot-update`."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.tui.driving import play, pull
from tests.tui.scripted import ScriptedSource, ended, make_stats, records
from textual.pilot import Pilot

from vgrad.controls import Controls, SetAccumulation, SetClip
from vgrad.records import Batch, CommandApplied, Verdict, VerdictChanged
from vgrad.transforms import ClipGradNorm
from vgrad_tui.app import VgradApp

CLIP = SetClip(ClipGradNorm(1.0))
SIZES = [(50, 20), (80, 24), (120, 36), (200, 60)]

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def _frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal writes the time of day; in a picture it stands still."""
    noon = time.struct_time((2026, 1, 1, 12, 0, 0, 3, 1, 0))
    strftime = time.strftime
    monkeypatch.setattr(time, "strftime", lambda form, when=noon: strftime(form, when))


async def steered(pilot: Pilot[None], source: ScriptedSource) -> None:
    """A run with one change applied, one asked for, and a verdict that names a remedy."""
    await play(pilot, source)
    await pilot.press("c")
    await pull(pilot, source, Batch(notices=(CommandApplied(301, CLIP, Controls(clip=ClipGradNorm(1.0))),)))
    await pull(pilot, source, Batch(records(301, 420), stats=make_stats(420)))
    verdict = Verdict("exploding", "at step 415 ‖g‖ was 43× its median", remedy=SetClip(ClipGradNorm(0.5)))
    await pull(pilot, source, Batch(notices=(VerdictChanged(415, verdict),)))
    await pilot.press("a")
    assert source.submitted == [CLIP, SetAccumulation(2)]


@pytest.mark.parametrize("size", SIZES, ids=[f"{columns}x{lines}" for columns, lines in SIZES])
def test_a_steered_run(snap_compare: Compare, size: tuple[int, int]) -> None:
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)

    assert snap_compare(VgradApp(source), terminal_size=size, run_before=run_before)


def test_before_the_model_is_ready(snap_compare: Compare) -> None:
    assert snap_compare(VgradApp(ScriptedSource()), terminal_size=(80, 24))


def test_the_end(snap_compare: Compare) -> None:
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)
        await pull(pilot, source, Batch(notices=(ended(420),)))

    assert snap_compare(VgradApp(source), terminal_size=(80, 24), run_before=run_before)


@pytest.mark.parametrize("key", ["question_mark", "j", "enter", "q"])
def test_what_lies_over_it(snap_compare: Compare, key: str) -> None:
    source = ScriptedSource()

    async def run_before(pilot: Pilot[None]) -> None:
        await steered(pilot, source)
        await pilot.press(key)
        await pilot.pause()

    assert snap_compare(VgradApp(source), terminal_size=(100, 30), run_before=run_before)
