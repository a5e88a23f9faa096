from __future__ import annotations

import threading

import numpy as np
import pytest

from vgrad.events.layer_stats import LayerStats
from vgrad.events.notices import Preparing
from vgrad.events.outbox import Outbox
from vgrad.events.step_record import StepRecord


def record(step: int, num_layers: int = 1) -> StepRecord:
    norms = np.zeros(num_layers, dtype=np.float32)
    return StepRecord(step, 1.0, 0.1, 0.1, 1.0, 1.0, norms, 1, 1, 1, float(step), 0.0, 0.0)


def stats(step: int) -> LayerStats:
    values = np.zeros(1, dtype=np.float32)
    return LayerStats(np.array([step]), *[values] * 6, values.reshape(1, 1))


def test_what_is_put_is_drained_once_and_in_order() -> None:
    outbox = Outbox()
    for step in (1, 2, 3):
        outbox.put(record(step))
        outbox.notify(Preparing(str(step)))
    batch = outbox.drain()
    assert [each.step for each in batch.records] == [1, 2, 3]
    assert batch.notices == (Preparing("1"), Preparing("2"), Preparing("3"))
    assert batch.num_dropped == 0
    empty = outbox.drain()
    assert (empty.records, empty.notices, empty.stats, empty.num_dropped) == ((), (), None, 0)


def test_a_slow_reader_loses_the_oldest_records_and_is_told_how_many() -> None:
    outbox = Outbox()
    for step in range(1, 10_001):
        outbox.put(record(step))
    batch = outbox.drain()
    assert batch.num_dropped + len(batch.records) == 10_000
    assert [each.step for each in batch.records] == list(range(batch.num_dropped + 1, 10_001))
    assert outbox.drain().num_dropped == 0, "each loss is told once"


@pytest.mark.parametrize("num_layers", [1, 100, 10_000, 1_000_000])
def test_undrained_records_hold_a_bounded_amount_of_memory(num_layers: int) -> None:
    outbox = Outbox()
    outbox.resize(num_layers)
    shared = record(1, num_layers)  # the same array again and again: only the count matters
    for _ in range(5000):
        outbox.put(shared)
    held = outbox.drain().records
    assert 16 <= len(held) <= 4096
    assert len(held) * shared.grad_norms.nbytes <= max(8 * 2**20, 16 * shared.grad_norms.nbytes)


def test_no_notice_is_ever_dropped() -> None:
    outbox = Outbox()
    for number in range(20_000):
        outbox.notify(Preparing(str(number)))
        outbox.put(record(number))
    assert [notice.what for notice in outbox.drain().notices] == [str(number) for number in range(20_000)]


def test_only_the_newest_statistics_are_kept() -> None:
    outbox = Outbox()
    outbox.publish(stats(1))
    newest = stats(2)
    outbox.publish(newest)
    assert outbox.drain().stats is newest


def test_between_two_threads_everything_is_either_drained_or_counted_as_lost() -> None:
    outbox, total = Outbox(), 30_000

    def train() -> None:
        for step in range(1, total + 1):
            outbox.put(record(step))
            if step % 10 == 0:
                outbox.notify(Preparing(str(step)))

    worker = threading.Thread(target=train)
    worker.start()
    steps: list[int] = []
    notices: list[str] = []
    num_dropped = 0
    while True:
        is_last = not worker.is_alive()
        batch = outbox.drain()
        steps += [each.step for each in batch.records]
        notices += [notice.what for notice in batch.notices]
        num_dropped += batch.num_dropped
        if is_last:
            break
    assert steps == sorted(set(steps))
    assert steps[-1] == total
    assert len(steps) + num_dropped == total
    assert notices == [str(step) for step in range(10, total + 1, 10)]
