"""A model that is known to answer better than any constant prediction has learnt something."""

from __future__ import annotations

import math
from itertools import chain, repeat

import numpy as np
import pytest
from tests.engine.diagnose.story import INFO, UNTOUCHED, stats_of
from tests.engine.diagnose.test_without_baseline import over_time, wavy

from vgrad.diagnose.beyond_constant import BeyondConstant
from vgrad.diagnose.judge import Judge
from vgrad.events.guesses import Guesses
from vgrad.events.step_record import StepRecord
from vgrad.events.verdict import Verdict

EVERY = 20  # steps from one look to the next


def looks(mean: float, num: int) -> list[float]:
    return [mean + 0.1 * math.sin(7.0 * index) for index in range(num)]


@pytest.mark.parametrize(
    ("found", "is_shown"),
    [
        (looks(1.0, 16), False),
        (looks(0.99, 16), False),  # within its noise
        (looks(0.9, 16), True),
        (looks(0.9, 5), False),  # too few
        (looks(1.1, 16), False),
        ([*looks(3.0, 40), *looks(0.9, 40)], True),  # as it is now
        ([math.nan, math.inf, *looks(0.9, 16)], True),
        ([0.9] * 16, False),  # one look, seen sixteen times
    ],
)
def test_it_is_shown_by_several_batches_beyond_their_noise(found: list[float], is_shown: bool) -> None:
    beyond = BeyondConstant()
    for each in found:
        beyond.observe(each)
    assert beyond.is_shown == is_shown


def judged(losses: list[float], found: list[float]) -> list[Verdict]:
    """The verdict after each step of a run whose gradient falls to a millionth back in time."""
    judge = Judge(INFO)
    verdicts = []
    each_step = chain.from_iterable(repeat(look, EVERY) for look in found)
    for index, (loss, look) in enumerate(zip(losses, each_step, strict=False)):
        norms = np.full(3, 0.6, dtype=np.float32)
        record = StepRecord(index + 1, loss, 0.1, 0.1, 1.0, 1.0, norms, 1, 32, 1, float(index), 1.0, 0.0)
        guesses = Guesses(over_constant=look)
        judge.observe(record, stats_of((1e-3,) * 3), UNTOUCHED, over_time(1e-6), guesses)
        verdicts.append(judge.verdict)
    return verdicts


def test_a_gradient_that_vanishes_in_time_is_no_fault_of_a_model_that_has_learnt_without_memory() -> None:
    losses = [1.05, *wavy(1.0, 799)]
    assert judged(losses, looks(1.0, 40))[-1].rule == "time"
    assert all(verdict.kind != "vanishing" for verdict in judged(losses, looks(0.8, 40)))


def test_a_finding_over_time_is_withdrawn_once_it_is_known_that_the_run_has_learnt() -> None:
    verdicts = judged([1.05, *wavy(1.0, 1199)], looks(1.0, 25) + looks(0.8, 35))
    assert verdicts[499].rule == "time"
    assert verdicts[-1].kind == "stalled"
