"""How long a training stands still while it is attached to by its process id."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from tests.bench.figures import Figure

from vgrad.run.attach_pid import attach_process, release_process

# Reports the longest time from the end of one step to the end of the next.
_TRAINS = """
import sys, time, pathlib, torch
torch.set_num_threads(1)
model = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(8)])
optimizer = torch.optim.Adam(model.parameters())
last, longest = None, 0.0
while not pathlib.Path(sys.argv[1]).exists():
    optimizer.zero_grad()
    model(torch.randn(64, 64)).square().mean().backward()
    optimizer.step()
    now = time.perf_counter()
    longest = max(longest, 0.0 if last is None else now - last)
    if last is None:
        print("go", flush=True)
    last = now
print(longest)
"""


def figures(quick: bool) -> Iterator[Figure]:
    """The longest gap between two steps, of which attaching and releasing each has its share."""
    if shutil.which("gdb") is None:
        return
    gaps = sorted(_longest_gap() for _ in range(3 if quick else 10))
    yield Figure(
        "attach.stands-still", statistics.median(gaps), "s", 1.0, low=gaps[0], high=gaps[-1],
        note="longest time between two steps of 1 ms around attach and release; low and high: of all",
    )  # fmt: skip


def _longest_gap() -> float:
    with tempfile.TemporaryDirectory() as place, patch.dict(os.environ, VGRAD_HOME=place):
        end = Path(place) / "end"
        with subprocess.Popen(
            [sys.executable, "-c", _TRAINS, end], stdout=subprocess.PIPE, text=True
        ) as training:
            assert training.stdout is not None
            assert training.stdout.readline() == "go\n"
            time.sleep(0.5)
            folder = attach_process(training.pid)
            time.sleep(0.5)
            release_process(folder)
            end.touch()
            return float(training.stdout.read())
