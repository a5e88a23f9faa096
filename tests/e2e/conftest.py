"""A run to steer; and no run outlives the test that started it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.command_line import SMALL, vgrad_tui

from vgrad.store.folder import RunFolder


@pytest.fixture(autouse=True)
def no_run_outlives_its_test(own_home: Path) -> Iterator[None]:
    """Kill what still trains in the test's own home: a dropped line leaves a process behind, on purpose."""
    yield
    for path in (own_home / "runs").glob("*"):
        pid = RunFolder(path).pid()
        if pid is not None and pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run() -> RunFolder:
    """A run in a process of its own."""
    started = vgrad_tui("run", "charlm-rnn", "--detach", *SMALL)
    assert started.returncode == 0, started.stderr
    return RunFolder.find(started.stdout.splitlines()[-1])
