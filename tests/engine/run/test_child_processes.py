"""Child processes that a script makes are watched as runs of their own, and do what they do without us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tests.engine.ranks.torchrun import SCRIPTS
from tests.engine.run.test_watched_loop import recorded_steps

import vgrad
from vgrad.store.folder import all_runs
from vgrad.store.listing import look

BareFork = Callable[[str], subprocess.CompletedProcess[str]]
TRAIN = """
import os, pathlib, sys, torch, torch.multiprocessing as mp

def train(seed, model, num_steps):
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(num_steps):
        optimizer.zero_grad()
        (model(torch.randn(8, 4)) - 1).square().mean().backward()
        optimizer.step()
"""

ONE_AFTER_THE_OTHER = (
    TRAIN
    + """
if __name__ == "__main__":
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1).share_memory()
    train(5, model, 10)
    for seed in range(2):
        child = mp.get_context(sys.argv[1]).Process(target=train, args=(seed, model, 20 + seed))
        child.start()
        child.join()
        print(child.exitcode)
    train(6, model, 5)
    print([param.tolist() for param in model.parameters()])
"""
)

FORKS = (
    TRAIN
    + """
import warnings
torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
train(0, model, 10)
warnings.simplefilter("ignore", DeprecationWarning)  # of threads, torch's too, from Python 3.12 on
child = os.fork()
train(1, model, 20 if child == 0 else 5)
if child == 0:
    os.write(1, f"{model.weight.tolist()}".encode())
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(model.weight.tolist())
"""
)

RANKS = (
    TRAIN
    + """
import torch.distributed as dist
from gloo_threads import wait_until_idle

def train_rank(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
    train(rank, model, 20)
    torch.save(model.module.weight.tolist(), f"{folder}/{rank}.pt")
    wait_until_idle()
    dist.destroy_process_group()

if __name__ == "__main__":
    folder = sys.argv[1]
    mp.spawn(train_rank, args=(folder,), nprocs=2)
    pathlib.Path(folder, "group").unlink(missing_ok=True)  # the second run makes another
    print([torch.load(f"{folder}/{rank}.pt") for rank in range(2)])
"""
)


def run(script: Path, *arguments: str, way: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SCRIPTS), *sys.path])}
    return subprocess.run(
        [sys.executable, *way, script, *arguments],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def bare_and_watched(script: Path, text: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """What the watched script has written to stderr; all else is as without watching."""
    script.write_text(text)
    return watched_as(run(script, *arguments), script, *arguments, options=options)


def watched_as(
    bare: subprocess.CompletedProcess[str], script: Path, *arguments: str, options: tuple[str, ...] = ()
) -> str:
    """What the script has written to stderr under vgrad; all else is as it was ``bare``."""
    watched = run(script, *arguments, way=("-m", "vgrad", *options))
    assert (watched.stdout, watched.returncode) == (bare.stdout, bare.returncode), watched.stderr
    assert bare.returncode == 0, bare.stderr
    return watched.stderr


@pytest.fixture(scope="module")
def bare_fork(tmp_path_factory: pytest.TempPathFactory) -> BareFork:
    """A script as it runs without vgrad with children by ``fork``: those by ``spawn`` print the same."""

    @cache
    def bare(text: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path_factory.mktemp("bare") / "train.py"
        script.write_text(text)
        return run(script, "fork")

    return bare


def watched_as_fork(bare_fork: BareFork, script: Path, text: str, method: str) -> str:
    script.write_text(text)
    return watched_as(bare_fork(text), script, method)


@pytest.mark.parametrize(("method", "name"), [("fork", "ForkProcess"), ("spawn", "SpawnProcess")])
def test_each_child_that_trains_is_a_run_of_its_own(
    method: str, name: str, tmp_path: Path, bare_fork: BareFork
) -> None:
    assert watched_as_fork(bare_fork, tmp_path / "train.py", ONE_AFTER_THE_OTHER, method) == ""
    runs = all_runs()
    [parent] = [folder for folder in runs if name not in folder.name]
    assert recorded_steps(parent) == list(range(1, 16))  # of two optimizers, one after the other
    for number in (1, 2):
        [child] = [folder for folder in runs if folder.name.startswith(f"train-{name}-{number}-")]
        assert recorded_steps(child) == list(range(1, 20 + number))
    assert [look(folder).status for folder in runs] == ["finished"] * 3


def test_a_forked_child_does_not_write_into_the_run_of_its_parent(tmp_path: Path) -> None:
    assert bare_and_watched(tmp_path / "train.py", FORKS) == ""
    [child] = [folder for folder in all_runs() if "-child-" in folder.name]
    [parent] = [folder for folder in all_runs() if folder.name != child.name]
    assert recorded_steps(child) == list(range(1, 21)) and look(child).status == "failed"
    assert recorded_steps(parent) == list(range(1, 16))
    assert look(parent).status == "finished"


def test_of_spawned_ranks_the_first_records_and_the_summary_is_said_to_be_about_its_parent(
    tmp_path: Path,
) -> None:
    options = ("--summary", str(tmp_path / "summary.json"))
    said = bare_and_watched(tmp_path / "train.py", RANKS, str(tmp_path), options=options)
    assert said.count("SpawnProcess-1 trains, and is a run of its own") == 1 == said.count("\n")
    [folder] = all_runs()
    assert recorded_steps(folder) == list(range(1, 21))


FAILS = (
    TRAIN
    + """
def fail():
    train(0, torch.nn.Linear(4, 1), 2)
    torch.ones(1).backward()

if __name__ == "__main__":
    child = mp.get_context("spawn").Process(target=fail)
    child.start()
    child.join()
    print(child.exitcode)
"""
)


def test_the_traceback_of_a_child_shows_no_frame_of_vgrad(tmp_path: Path) -> None:
    said = bare_and_watched(tmp_path / "train.py", FAILS)
    assert "in fail" in said and "does not require grad" in said
    assert str(Path(vgrad.__file__).parent) not in said


POOL = (
    TRAIN
    + """
def task(seed):
    torch.manual_seed(seed)
    model = torch.nn.Linear(4, 1)
    train(seed, model, 10)
    return os.getpid(), model.weight.tolist()

if __name__ == "__main__":
    with mp.get_context(sys.argv[1]).Pool(1) as pool:  # ends its workers by SIGTERM
        [worker] = pool._pool
        print([weight for _, weight in pool.map(task, range(3))])
    worker.join()
    print(worker.exitcode in {0, -15})
"""
)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_worker_of_a_pool_is_recorded_to_its_end(
    method: str, tmp_path: Path, bare_fork: BareFork
) -> None:
    assert watched_as_fork(bare_fork, tmp_path / "train.py", POOL, method) == ""
    [folder] = all_runs()
    assert sorted(recorded_steps(folder)) == sorted(list(range(1, 11)) * 3)
    assert look(folder).status == "finished"


ENDED_IN_A_TASK = (
    TRAIN
    + """
import time

def task(folder):
    model = torch.nn.Linear(4, 1)
    train(0, model, 10)
    pathlib.Path(folder, "trains").touch()
    while True:
        train(0, model, 10)

if __name__ == "__main__":
    with mp.get_context("fork").Pool(1) as pool:
        [worker] = pool._pool
        pool.apply_async(task, (sys.argv[1],))
        while not pathlib.Path(sys.argv[1], "trains").exists():
            time.sleep(0.01)
    worker.join()
    print(worker.exitcode)
    pathlib.Path(sys.argv[1], "trains").unlink()
"""
)


def test_a_worker_that_is_ended_amid_a_task_ends_at_once(tmp_path: Path) -> None:
    assert bare_and_watched(tmp_path / "train.py", ENDED_IN_A_TASK, str(tmp_path)) == ""
    assert [folder.name for folder in all_runs() if look(folder).status == "finished"] == []
