"""What every rank says of itself reaches the record: its own norm, its waits, and where something broke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.engine.ranks.torchrun import torchrun

from vgrad.events.batch import Batch
from vgrad.events.notices import RankReported, RunEnded
from vgrad.store.folder import all_runs
from vgrad.store.listing import look
from vgrad.store.reader import RunReader

TRAIN = """
import copy, json, os, sys, time
import torch, torch.distributed as dist, torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
torch.manual_seed(0)
torch.set_num_threads(1)
rank = dist.get_rank()
model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
generator = torch.Generator().manual_seed(rank)
for step in range(1, 41):
    inputs = torch.randn(6, 8, generator=generator)
    targets = torch.randint(4, (6,), generator=generator)
    if rank == 1:
        if step == 32: time.sleep(0.2)
        if step == 37 and "inf" in sys.argv: inputs[0, 0] = float("inf")
        if step == 37 and "raise" in sys.argv: raise ValueError("a bad batch")
        if step == 37 and "kill" in sys.argv: os.kill(os.getpid(), 9)
    elif step == 37 and "blocked" in sys.argv: time.sleep(3600)  # until torchrun ends this rank
    optimizer.zero_grad()
    if step == 32:
        own = copy.deepcopy(model.module)
        F.cross_entropy(own(inputs), targets).backward()
        norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in own.parameters()])).item()
        with open(f"norm{rank}.json", "w") as file:
            json.dump(norm, file)
    F.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    time.sleep(0.002)
dist.destroy_process_group()
"""


def train(folder: Path, *arguments: str, options: tuple[str, ...] = ()) -> tuple[int, str, Batch]:
    """Exit code, what was printed to stderr, and the record; ``options`` are torchrun's."""
    (folder / "train.py").write_text(TRAIN)
    process = torchrun(*options, "-m", "vgrad", "train.py", *arguments, cwd=folder)
    _, err = process.communicate(timeout=240)
    [run] = all_runs()
    with RunReader(run) as reader:
        return process.returncode, err, reader.take()


def reported(batch: Batch) -> list[RankReported]:
    return [notice.body for notice in batch.notices if isinstance(notice.body, RankReported)]


def test_own_norms_waits_and_the_rank_that_was_not_finite_first_are_on_the_record(tmp_path: Path) -> None:
    code, err, batch = train(tmp_path, "inf")
    assert code == 0, err
    assert batch.ranks is not None
    first, second = batch.ranks
    assert (first.rank, second.rank, first.step, second.step) == (0, 1, 40, 40)
    assert first.pid != second.pid and first.step_s > 0
    assert first.measured_step == second.measured_step == 32
    for stats in (first, second):
        assert stats.local_norm == pytest.approx(
            json.loads((tmp_path / f"norm{stats.rank}.json").read_text())
        )
    assert first.wait_s is not None and second.wait_s is not None
    assert first.wait_s > second.wait_s, "rank 1 was late, and rank 0 waited for it"
    assert (second.first_non_finite, second.num_non_finite) == (37, 4)
    assert first.first_non_finite == 38, "from the averaged gradient"
    assert [(body.rank, body.step) for body in reported(batch)] == [(1, 37)]


def assert_named(batch: Batch, words: str) -> None:
    [body] = reported(batch)
    assert body.rank == 1 and words in body.what
    ended = batch.notices[-1].body
    if isinstance(ended, RunEnded):  # the first rank was ended, too, perhaps before it could say so
        assert ended.reason == "failed" and ended.message is not None and words in ended.message


def test_a_rank_that_fails_is_named_in_the_record_and_nothing_hangs(tmp_path: Path) -> None:
    code, err, batch = train(tmp_path, "raise")
    assert code != 0
    assert "Root Cause" in err and "rank      : 1" in err, "torchrun's own report"
    assert_named(batch, "ValueError: a bad batch")


def test_a_rank_that_is_killed_is_named_and_nothing_hangs(tmp_path: Path) -> None:
    code, err, batch = train(tmp_path, "kill")
    assert code != 0
    cause = err.partition("Root Cause")[2]
    assert "rank      : 1" in cause and "SIGKILL" in cause, "torchrun's own report"
    if reported(batch):
        assert_named(batch, "without giving a reason")
    else:  # torchrun has ended the first rank before that had looked
        assert look(all_runs()[0]).status == "crashed"


def test_a_rank_that_is_killed_is_named_at_once_though_the_first_rank_never_learns_of_it(
    tmp_path: Path,
) -> None:
    # Torchrun looks every few seconds here; by default it may end all ranks a moment after the kill.
    code, err, batch = train(tmp_path, "kill", "blocked", options=("--monitor-interval=4",))
    assert code != 0
    [body] = reported(batch)
    assert body.rank == 1 and "without giving a reason" in body.what
    assert "rank 1: its process has ended without giving a reason" in err
    assert look(all_runs()[0]).status == "crashed", "the first rank was ended by a signal"
