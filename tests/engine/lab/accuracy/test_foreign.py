"""The small loops that know nothing of vgrad: that their list, their split and their labels hold."""

from __future__ import annotations

import math

import torch

from vgrad.lab.accuracy.foreign.kinds import FOREIGN_KINDS
from vgrad.lab.accuracy.foreign.loops import LoopSetting
from vgrad.lab.accuracy.foreign.runs import KINDS, LOOPS, run_kind


def test_every_kind_has_a_loop_and_every_loop_a_kind() -> None:
    assert len(KINDS) == len(FOREIGN_KINDS)
    assert KINDS.keys() == LOOPS.keys()
    assert {kind.part for kind in FOREIGN_KINDS} == {"fit", "held-out"}


def test_a_label_needs_the_outcome_to_confirm_it() -> None:
    healthy = run_kind("rate_to_zero", 0)
    assert healthy.label == "healthy"
    dead = run_kind("one_unit_softmax", 0)
    assert dead.cured is not None
    assert (dead.label, dead.cured < dead.score) == ("dead", True)
    assert run_kind("one_unit_softmax", 0, with_cure=False).label == "unclear", "nobody knows what cures it"
    assert run_kind("large_weights", 0, with_cure=False).label == "non-finite"


def test_a_loop_is_the_same_watched_or_not() -> None:
    watched = run_kind("lucky_start", 3)
    torch.manual_seed(3)
    bare = LOOPS["lucky_start"][0](LoopSetting(lambda *_: None, False, torch.Generator().manual_seed(3)))
    assert bare == watched.score
    (part,) = watched.parts
    assert [record.step for record in part.records] == list(range(1, 701))
    assert all(math.isfinite(record.loss) for record in part.records)
