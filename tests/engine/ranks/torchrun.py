"""Runs scripts under torchrun: two processes on this machine, over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def torchrun(*arguments: str | Path, cwd: Path, num: int = 2) -> subprocess.Popen[str]:
    """Start it in a session of its own, so that a test may end all of it."""
    path = os.pathsep.join([str(SCRIPTS), *sys.path])
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num}"]
    return subprocess.Popen(
        [sys.executable, *launcher, *arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
