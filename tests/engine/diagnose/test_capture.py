"""A judge that was captured and put back says what it would have said."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgrad.diagnose.explosions import ExplosionWatch
from vgrad.diagnose.judge import Judge
from vgrad.diagnose.losses import LossTrend
from vgrad.events.verdict import Verdict
from vgrad.lab.accuracy.matrix import observations
from vgrad.lab.accuracy.runs import LabelledRun
from vgrad.lab.accuracy.store import read_runs


@cache
def stored() -> list[LabelledRun]:
    """Every eleventh run: all families, healthy and sick ones."""
    return read_runs()[::11]


def verdicts(run: LabelledRun, interrupt_at: int | None) -> list[Verdict]:
    """The verdict after each step, of a judge that is replaced by its copy before step ``interrupt_at``."""
    info, steps = observations(run)
    judge = Judge(info)
    said = []
    for index, step in enumerate(steps):
        if index == interrupt_at:
            captured = judge.capture()
            for _ in range(3):  # the captured state is its own
                judge.observe(*step)
            judge = Judge(info)
            judge.restore_(captured)
        judge.observe(*step)
        said.append(judge.verdict)
    return said


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 69), st.floats(0, 1))
def test_a_judge_that_is_restored_goes_on_as_if_never_interrupted(which: int, share: float) -> None:
    run = stored()[which % len(stored())]
    interrupt_at = int(share * (len(run.trace.steps) - 1))
    assert verdicts(run, interrupt_at) == verdicts(run, None)


def test_what_the_parts_remember_survives_json() -> None:
    run = stored()[0]
    info, steps = observations(run)
    judge = Judge(info)
    for step in steps:
        judge.observe(*step)
    captured = judge.capture()
    plain = {name: part for name, part in captured.items() if name not in ("verdict", "changes")}
    again = {**captured, **json.loads(json.dumps(plain))}
    other = Judge(info)
    other.restore_(again)
    assert repr(other.capture()) == repr(captured)


def test_the_state_of_something_else_is_refused_and_changes_nothing() -> None:
    losses = LossTrend()
    losses.observe(3.0)
    before = losses.capture()
    with pytest.raises(ValueError, match="LossTrend"):
        losses.restore_(ExplosionWatch().capture())
    assert repr(losses.capture()) == repr(before)
    with pytest.raises(ValueError, match="judge"):
        Judge(observations(stored()[0])[0]).restore_({})
