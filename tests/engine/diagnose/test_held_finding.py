"""Verdicts that rest on numbers near a threshold do not flip."""

from __future__ import annotations

import numpy as np
from tests.engine.diagnose.story import KNOWN, Story

from vgrad.diagnose.finding import Finding
from vgrad.diagnose.held_finding import HeldFinding
from vgrad.diagnose.losses import LOOK_EVERY, LossTrend
from vgrad.events.verdict import Verdict

DEPTH = Finding("vanishing", "depth", "")
OVERSHOOT = Finding("exploding", "overshoot", "")
STEPS = 400


def told(findings: str, losses: list[float], *, changed_at: int = 0) -> str:
    """The verdicts after each look: d for depth, o for overshoot, a dot where nothing is found.

    The losses of the looks are means; a rise or fall by a percent is progress or none.
    """
    held, trend = HeldFinding(), LossTrend()
    verdict, said = Verdict("stalled", "", rule="stalled"), ""
    for index, (letter, loss) in enumerate(zip(findings, losses, strict=True)):
        for step in range(STEPS):
            trend.observe(loss * (1 + 1e-3 * np.sin(7.0 * step)))
        trend.look()
        trend.is_stalled = not letter.isupper()
        finding = {"d": DEPTH, "o": OVERSHOOT}.get(letter)
        step = (index + 1) * LOOK_EVERY
        if not held.keeps(verdict, finding, trend, step=step, changed_at=changed_at):
            rule = "learning" if finding is None else finding.rule
            verdict = Verdict("healthy" if finding is None else finding.kind, "", rule=rule)
        said += {"depth": "d", "overshoot": "o"}.get(verdict.rule, ".")
    return said


def test_another_sickness_has_to_be_found_twice_in_a_row() -> None:
    assert told("dodoodd", [1.0] * 7) == "ddddood"


def test_nothing_found_in_a_stall_changes_nothing() -> None:
    assert told("d.....", [1.0] * 6) == "dddddd"


def test_a_loss_that_moves_ends_it_after_200_steps_or_when_a_tenth_is_learnt() -> None:
    falling = [1.0, 0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93]
    assert told("dXXXXX", falling[:6]) == "ddddd."
    assert told("dXXdXXX", falling[:7]) == "ddddddd"
    assert told("dX", [1.0, 0.8]) == "d."


def test_a_control_that_was_changed_ends_it_at_once() -> None:
    assert told("dX", [1.0, 0.99], changed_at=60) == "d."


def test_a_run_that_stalls_and_vanishes_is_called_so_without_a_break() -> None:
    shares, updates = (1e-7, 1.0, 1.0), (1e-7, 1e-3, 1e-3)
    story = Story(info=KNOWN)
    story.tell(240, shares=shares, updates=updates)
    assert story.judge.verdict.rule == "depth"
    story.tell(80, loss=0.97, shares=shares, updates=updates)
    story.tell(240, loss=0.97, shares=shares, updates=updates)
    assert story.changes[-1] == "vanishing"
    assert story.changes.count("vanishing") == 1
