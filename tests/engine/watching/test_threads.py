"""Threads that train models of their own at the same time, all of them watched."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vgrad.store.folder import all_runs
from vgrad.store.listing import look
from vgrad.store.reader import RunReader
from vgrad.watching.other_threads import while_others_wait

# Each thread reads and frees gradients while others run their backward passes.
THREADS = """
import threading, torch
torch.set_num_threads(1)
found = {}

def train(seed):
    generator = torch.Generator().manual_seed(seed)
    model = torch.nn.Linear(4, 1)
    torch.nn.init.constant_(model.weight, 0.1 * seed)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(1000):
        optimizer.zero_grad()
        (model(torch.randn(8, 4, generator=generator)) - 1).square().mean().backward()
        optimizer.step()
    found[seed] = model.weight.tolist()

threads = [threading.Thread(target=train, args=(seed,)) for seed in (1, 2, 3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(found.items()))
"""


def test_threads_that_train_are_watched_each_as_a_part_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(THREADS)
    bare, watched = (
        subprocess.run([sys.executable, *way, script], capture_output=True, text=True, check=False)
        for way in ((), ("-m", "vgrad"))
    )
    assert (watched.stdout, watched.returncode) == (bare.stdout, 0), watched.stderr
    assert watched.stderr == ""
    [folder] = all_runs()
    assert look(folder).status == "finished"
    with RunReader(folder) as reader:
        blocks = reader.take().blocks
    assert {block.part for block in blocks} == {0, 1, 2}
    for part in range(3):
        mine = [block for block in blocks if block.part == part]
        assert [int(step) for block in mine for step in block.step] == list(range(1, 1001))
        assert all(bool(known) for block in mine for known in block.loss_known), "that of the first step, too"


# What each collection finalizes lets the other threads run, as freeing a tensor does.
COLLECTIONS = """
import gc, os, sys, threading, time
from vgrad.watching.hooks import is_inside_a_step

class Circle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        time.sleep(0)

def call(depth, event):
    call(depth - 1, event) if depth else event.wait(0)

def work():
    event = threading.Event()
    while True:
        for depth in range(7):
            call(depth, event)

for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
gc.set_threshold(1, 1, 1)
sys.setswitchinterval(1e-5)
for _ in range(500):
    Circle()
    assert not is_inside_a_step()
print(gc.isenabled(), sys.getswitchinterval() < 1e-4, flush=True)
os._exit(0)
"""


def test_looking_at_what_other_threads_do_reads_no_memory_that_is_free() -> None:
    found = subprocess.run([sys.executable, "-c", COLLECTIONS], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "True True\n"), found.stderr


_NUM_CALLS = 6  # of the interpreter's functions, after each of which it may switch to another thread


def test_the_process_keeps_its_settings_however_two_threads_that_look_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ((sys, "getswitchinterval"), (gc, "isenabled"), (sys, "setswitchinterval"), (gc, "disable"))
    originals = {(owner, name): getattr(owner, name) for owner, name in (*names, (gc, "enable"))}
    before = gc.isenabled(), sys.getswitchinterval()

    def take_turns(enter_after: int, leave_after: int) -> None:
        other, num_calls, is_other = while_others_wait(), itertools.count(), False

        def switching(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: object) -> object:
                nonlocal is_other
                result = function(*args)
                if not is_other:
                    is_other = True
                    number = next(num_calls)
                    if number == enter_after:
                        other.__enter__()
                    elif number == leave_after:
                        other.__exit__(None, None, None)
                    is_other = False
                return result

            return call

        with monkeypatch.context() as patched:
            for (owner, name), original in originals.items():
                patched.setattr(owner, name, switching(original))
            with while_others_wait():
                assert not originals[gc, "isenabled"]()
        if next(num_calls) <= leave_after:
            other.__exit__(None, None, None)

    for enter_after, leave_after in itertools.combinations(range(_NUM_CALLS), 2):
        take_turns(enter_after, leave_after)
        assert (gc.isenabled(), sys.getswitchinterval()) == before, (enter_after, leave_after)
