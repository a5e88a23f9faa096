"""Failures that people have published: each happens here as often as there, in every seed.

Twenty seeds of each were run once: 20 of 20. The test repeats a few.
"""

from __future__ import annotations

import math

import pytest
import torch

from vgrad.lab.accuracy.foreign.loops import LoopSetting
from vgrad.lab.accuracy.foreign.runs import LOOPS

SEEDS = range(3)


def outcome(name: str, seed: int) -> float:
    torch.manual_seed(seed)
    loop, _ = LOOPS[name]
    return loop(LoopSetting(lambda *_: None, False, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["large_weights", "circles_exp"])
def test_these_are_not_finite_in_the_end(name: str, seed: int) -> None:
    """Stack Overflow 48385830, and AUTOTRAINER's circles with exp."""
    assert math.isnan(outcome(name, seed))


@pytest.mark.parametrize("name", ["one_unit_softmax", "sigmoid_head"])
def test_these_learn_nothing(name: str) -> None:
    """Stack Overflow 31880720 and 48221692."""
    _, limit = LOOPS[name]
    assert outcome(name, 0) > limit
