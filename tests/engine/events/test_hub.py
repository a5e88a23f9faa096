"""The hub: every reader sees one order, and none costs the others anything."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.events.material import step_records

from vgrad.events.batch import Batch, Snapshot
from vgrad.events.hub import Hub
from vgrad.events.notices import MetricsLogged, Preparing, Validated
from vgrad.events.step_block import StepBlock, blocks_of
from vgrad.events.verdict import Verdict


def block(first: int, num: int = 1, *, part: int = 0, num_layers: int = 3) -> StepBlock:
    return StepBlock.of(step_records(num, first=first, num_layers=num_layers, part=part))


def steps(batch: Batch, part: int = 0) -> list[int]:
    return [step for block in batch.blocks if block.part == part for step in block.step.tolist()]


@given(st.lists(st.sampled_from(["put", "notify", "fast", "slow"]), max_size=40))
def test_readers_of_any_pace_see_the_same_stream(events: list[str]) -> None:
    hub = Hub()
    cursors = {"fast": hub.cursor(), "slow": hub.cursor()}
    seen: dict[str, tuple[list[int], list[object]]] = {name: ([], []) for name in cursors}
    num_steps = num_notices = 0

    def look(name: str) -> None:
        batch = cursors[name].take()
        assert batch.num_dropped == 0
        seen[name][0].extend(steps(batch))
        seen[name][1].extend((notice.sequence, notice.body) for notice in batch.notices)

    for event in events:
        match event:
            case "put":
                hub.put(block(num_steps + 1))
                num_steps += 1
            case "notify":
                hub.notify(Preparing(str(num_notices)))
                num_notices += 1
            case name:
                look(name)
    for name, (got_steps, got_notices) in seen.items():
        look(name)
        assert got_steps == list(range(1, num_steps + 1))
        assert got_notices == [(number, Preparing(str(number))) for number in range(num_notices)]
        assert cursors[name].take() == cursors[name].take() or not cursors[name].take().blocks


@pytest.mark.parametrize("num_parts", [1, 3])
@pytest.mark.parametrize("num", [1, 7, 100])
def test_a_reader_that_never_reads_costs_bounded_memory_and_no_notice(num: int, num_parts: int) -> None:
    hub = Hub(max_bytes=200_000)
    cursor = hub.cursor()
    for first in range(1, 4001, num):
        for part in range(num_parts):
            hub.put(block(first, num, part=part))
        hub.notify(Validated(first, 1.0))
        assert hub.nbytes <= 200_000
    batch = cursor.take()
    put = num_parts * (first + num - 1)
    for part in range(num_parts):
        kept = steps(batch, part)
        assert kept[-1] == first + num - 1, "the newest is always among them"
        assert kept == sorted(set(kept))
        gaps = [after - before for before, after in itertools.pairwise(kept)]
        assert gaps[-1] == 1 and max(gaps) > 1, "all of the recent past, fewer of the old"
    assert batch.num_dropped + sum(map(len, batch.blocks)) == put
    assert [notice.step for notice in batch.notices] == list(range(1, 4001, num))


def test_a_reader_that_keeps_up_loses_nothing_while_another_sleeps() -> None:
    hub = Hub(max_bytes=100_000)
    sleeper, reader = hub.cursor(), hub.cursor()
    got: list[int] = []
    for step in range(1, 3001):
        hub.put(block(step))
        if step % 5 == 0:
            batch = reader.take()
            assert batch.num_dropped == 0
            got += steps(batch)
    assert got == list(range(1, 3001))
    assert sleeper.take().num_dropped > 0


def test_numbers_that_a_loop_logs_at_every_step_take_bounded_memory_and_keep_their_place() -> None:
    hub = Hub()
    reader, late = hub.cursor(), hub.cursor()
    got = []
    for step in range(1, 30_001):
        hub.notify(MetricsLogged(step, (("reward", float(step)),)))
        if step % 5_000 == 0:
            hub.notify(Validated(step, 1.0))
            got += reader.take().notices
    assert [notice.sequence for notice in got] == list(range(30_006)), "who keeps up misses none"
    seen = late.take().notices
    assert [n.sequence for n in seen] == sorted(n.sequence for n in seen)
    assert [n.step for n in seen if isinstance(n.body, Validated)] == list(range(5_000, 30_001, 5_000))
    logged = [n.step for n in seen if isinstance(n.body, MetricsLogged)]
    assert logged == list(range(20_001, 30_001)), "the newest"
    assert not late.take().notices


def test_a_late_reader_gets_all_notices_or_only_news() -> None:
    hub = Hub()
    hub.notify(Preparing("a"))
    hub.put(block(1))
    hub.publish(Snapshot(verdict=Verdict("healthy", "")))
    from_start, from_now = hub.cursor(), hub.cursor(from_start=False)
    first = from_start.take()
    assert [notice.body for notice in first.notices] == [Preparing("a")]
    assert steps(first) == [1]
    assert 0 in first.snapshots
    nothing = from_now.take()
    assert not nothing.blocks and not nothing.notices and not nothing.snapshots
    hub.put(block(2))
    assert steps(from_start.take()) == steps(from_now.take()) == [2]


def test_only_the_newest_snapshot_of_each_part_is_given_once() -> None:
    hub = Hub()
    cursor = hub.cursor()
    for kind in ("starting", "healthy"):
        hub.publish(Snapshot(verdict=Verdict(kind, "")))  # type: ignore[arg-type]
    hub.publish(Snapshot(verdict=Verdict("dead", "")), part=1)
    verdicts = {part: snapshot.verdict.kind for part, snapshot in cursor.take().snapshots.items()}
    assert verdicts == {0: "healthy", 1: "dead"}
    assert not cursor.take().snapshots


def test_a_closed_cursor_leaves_nothing() -> None:
    hub = Hub()
    hub.notify(Preparing("a"))
    with hub.cursor(attended=True) as cursor:
        assert hub.is_attended
    assert not hub.is_attended
    assert cursor.take().notices == ()
    lost = weakref.ref(hub.cursor(attended=True))
    gc.collect()
    assert lost() is None, "the hub holds no reader"
    assert not hub.is_attended


def test_a_notice_says_when_it_happened_and_what_it_answers() -> None:
    clock = iter([10.0, 20.0])
    hub = Hub(now_s=lambda: next(clock))
    cursor = hub.cursor()
    hub.notify(Validated(7, 1.0), command_id="a")
    hub.notify(Preparing("b"), step=3, part=2)
    first, second = cursor.take().notices
    assert (first.sequence, first.time_s, first.step, first.part, first.command_id) == (0, 10.0, 7, 0, "a")
    assert (second.sequence, second.time_s, second.step, second.part) == (1, 20.0, 3, 2)
    assert second.command_id is None


def test_one_writer_and_many_readers_at_the_same_time() -> None:
    hub = Hub()
    num = 2000
    seen: list[list[int]] = [[] for _ in range(3)]

    def read(index: int) -> None:
        cursor = hub.cursor()
        while not seen[index] or seen[index][-1] != num:
            seen[index].extend(steps(cursor.take()))

    readers = [threading.Thread(target=read, args=(index,), daemon=True) for index in range(3)]
    for reader in readers:
        reader.start()
    for built in blocks_of(step_records(num)):
        for row in range(len(built)):
            hub.put(built[row : row + 1])
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()
    assert all(got == sorted(set(got)) and got[-1] == num for got in seen)
