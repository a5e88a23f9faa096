"""The command line in a process of its own, and a small run for it."""

from __future__ import annotations

import subprocess
import sys

SMALL = ("--batch-size", "2", "--set", "hidden=8", "--set", "seq_len=8")


def vgrad_tui(*args: str) -> subprocess.CompletedProcess[str]:
    code = "from vgrad_tui.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=300, check=False
    )
