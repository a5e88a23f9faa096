"""What the first rank makes of what the others say, without any other process."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch.distributed as dist
from tests.waiting import until

from vgrad.errors import ConfigError
from vgrad.events.hub import Hub
from vgrad.events.notices import Notice, NoticeBody, RankReported
from vgrad.events.rank_stats import RankStats, write_ranks
from vgrad.ranks import collector, meeting
from vgrad.ranks.collector import RankCollector
from vgrad.ranks.group import RankGroup
from vgrad.ranks.meeting import require_all_ranks
from vgrad.ranks.report import end_key, report_key


class ObservedHub(Hub):
    """A hub that remembers which problems its readers could see as each notice came."""

    def __init__(self) -> None:
        super().__init__()
        self.visible: set[str] = set()
        self.hidden: list[str] = []

    def publish_ranks(self, ranks: tuple[RankStats, ...]) -> None:
        super().publish_ranks(ranks)
        self.visible = {each.problem for each in ranks}

    def notify(self, body: NoticeBody, **how: Any) -> Notice:
        if isinstance(body, RankReported) and body.what not in self.visible:
            self.hidden.append(body.what)
        return super().notify(body, **how)


class Ranks:
    """A store with a collector that reads it."""

    def __init__(self, size: int) -> None:
        self.store: Any = dist.HashStore()  # type: ignore[attr-defined]
        self.hub = ObservedHub()
        self.cursor = self.hub.cursor()
        self.said: list[RankReported] = []
        self.collector = RankCollector(
            RankGroup(0, size, self.store, lambda: self.store), self.hub, lambda: 0
        )

    def say(self, stats: RankStats) -> None:
        self.store.set(report_key(stats.rank), write_ranks([stats]))

    def end(self, rank: int, words: str = "") -> None:
        self.store.set(end_key(rank), words)

    def heard(self) -> list[tuple[int, int, str]]:
        bodies = (notice.body for notice in self.cursor.take().notices)
        self.said += [body for body in bodies if isinstance(body, RankReported)]
        return [(body.rank, body.step, body.what) for body in self.said]

    def wait_for(self, words: str) -> None:
        until(lambda: any(words in what for _, _, what in self.heard()), shown=lambda: f"never said: {words}")


@contextmanager
def ranks(size: int) -> Iterator[Ranks]:
    found = Ranks(size)
    try:
        yield found
    finally:
        for rank in range(size):
            found.end(rank)
        found.collector.close()


def alive(rank: int, **known: Any) -> RankStats:
    return replace(RankStats(rank, platform.node(), os.getpid(), step=40), **known)


def test_the_rank_that_was_first_is_named_though_it_spoke_last() -> None:
    with ranks(3) as group:
        group.say(alive(1, step=36))
        until(lambda: group.collector._ranks[1].pid)  # it is known that this one trains
        group.say(alive(0, first_non_finite=38, num_non_finite=3))
        group.say(alive(2, first_non_finite=38, num_non_finite=3))
        group.say(alive(1, first_non_finite=37, num_non_finite=4))
        group.wait_for("not finite")
    assert [(rank, step) for rank, step, _ in group.heard()] == [(1, 37)]


def test_a_rank_that_is_not_heard_of_and_one_whose_process_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_MISSING_S", 0.2)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    with ranks(3) as group:
        group.say(alive(0))
        group.say(alive(1, pid=process.pid))
        group.wait_for("not watched")
        group.wait_for("without giving a reason")
        group.say(alive(2))  # it has come after all
        found = group.collector._ranks
        until(lambda: found[2].pid and not found[2].problem)
    assert {(rank, what.split(":")[0][:14]) for rank, _, what in group.heard()} == {
        (1, "its process ha"),
        (2, "it is not watc"),
    }
    assert not group.hub.hidden, "whoever reads the notice finds the problem in the list of ranks, too"


def test_who_is_behind_is_said_when_all_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_SILENT_S", 0.3)
    with ranks(2) as group:
        group.say(alive(0, step=41))
        group.say(alive(1, step=40))
        group.wait_for("rank 1 is behind")


def test_a_standstill_is_said_with_the_time_that_it_has_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_SILENT_S", 0.1)
    with ranks(2) as group:
        for rank in range(2):
            group.say(alive(rank, step_s=0.08))  # twenty of them: 1.6 s
        group.wait_for("no rank has ended a step")
    _, _, words = group.heard()[0]
    found = re.fullmatch(r"no rank has ended a step for (\d+) s: at the same step", words)
    assert found is not None and int(found[1]) >= 2


def test_an_error_of_a_rank_is_a_problem_and_a_normal_end_is_none() -> None:
    with ranks(3) as group:
        for rank in range(3):
            group.say(alive(rank))
        group.end(1)
        group.end(2, "ValueError: a bad batch")
        group.wait_for("a bad batch")
    assert group.collector.problems == ["rank 2: ValueError: a bad batch"]


def test_what_is_no_report_is_ignored() -> None:
    with ranks(2) as group:
        group.store.set(report_key(1), "nonsense")
        group.store.set(report_key(0), '[{"rank": "x"}]')
        group.end(1, "an error")
        group.wait_for("an error")


def test_all_ranks_come_to_one_decision_whoever_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "_WAIT_S", 0.1)
    store: Any = dist.HashStore()  # type: ignore[attr-defined]
    first, second = (RankGroup(rank, 2, store, lambda: store) for rank in (0, 1))
    for group in (first, second):  # the second comes when the first has given up
        with pytest.raises(ConfigError, match="rank 1 is not watched"):
            require_all_ranks(group)
