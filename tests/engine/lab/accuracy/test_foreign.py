"""The small loops that know nothing of vgrad: that their list, their split and their labels hold."""

from __future__ import annotations

import torch

from vgrad.lab.accuracy.foreign.kinds import FOREIGN_KINDS, HELD_OUT_KINDS, PART_OF
from vgrad.lab.accuracy.foreign.loops import LoopSetting
from vgrad.lab.accuracy.foreign.report import foreign_as_dict, foreign_as_text, read_foreign_runs
from vgrad.lab.accuracy.foreign.runs import KINDS, LOOPS, run_kind
from vgrad.run.watched_loop import watch


def test_every_kind_has_a_loop_and_every_loop_a_kind() -> None:
    assert len(KINDS) == len(FOREIGN_KINDS)
    assert KINDS.keys() == LOOPS.keys()
    assert PART_OF.keys() == KINDS.keys()


def test_what_happens_confirms_the_label_and_the_verdict_is_right() -> None:
    for name, label in (
        ("rate_to_zero", "healthy"),
        ("one_unit_softmax", "dead"),
        ("large_weights", "non-finite"),
    ):
        run = run_kind((name, 0))
        assert run.label == label
        assert run.verdict == ("stalled" if label == "healthy" else label)
        assert (run.sick_steps == 0) == (label == "healthy")


def test_a_loop_is_the_same_watched_or_not() -> None:
    def score(is_watched: bool) -> float:
        torch.manual_seed(3)
        data = torch.Generator().manual_seed(3)
        start = watch if is_watched else lambda *_: None
        return LOOPS["lucky_start"][0](LoopSetting(start, False, data))

    assert score(True) == score(False)


def test_the_report_counts_every_stored_run_once() -> None:
    runs = read_foreign_runs()
    assert {run.kind for run in runs} <= KINDS.keys()
    assert len({(run.kind, run.seed) for run in runs}) == len(runs)
    numbers = foreign_as_dict(runs)
    assert sum(part["runs"] for part in numbers.values()) == len(runs)
    for part in numbers.values():
        assert sum(sum(counts.values()) for counts in part["by_kind"].values()) == part["runs"]
    text = foreign_as_text(runs)
    assert all(kind.name in text for kind in HELD_OUT_KINDS)
