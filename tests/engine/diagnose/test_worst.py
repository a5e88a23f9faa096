"""The verdict on a run of several parts."""

from __future__ import annotations

from typing import get_args

import pytest

from vgrad.diagnose.worst import SERIOUSNESS, worst
from vgrad.events.verdict import Verdict, VerdictKind


def test_every_kind_has_its_place() -> None:
    assert set(SERIOUSNESS) == set(get_args(VerdictKind))
    assert len(SERIOUSNESS) == len(get_args(VerdictKind))


def test_a_run_is_as_well_as_its_worst_part() -> None:
    healthy, stalled, dead = (Verdict(kind, "why") for kind in ("healthy", "stalled", "dead"))
    assert worst([healthy, dead, stalled]) is dead
    assert worst([healthy, stalled]) is stalled
    first, second = Verdict("vanishing", "first"), Verdict("vanishing", "second")
    assert worst([first, second]) is first
    with pytest.raises(ValueError, match="empty"):
        worst([])
