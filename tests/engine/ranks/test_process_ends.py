"""The end of another process wakes the thread that waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.waiting import until

from vgrad.ranks.process_ends import ProcessEnds

NEVER_S = 3600.0


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as found:
        yield found
        found.kill()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the kernel does not tell")
def test_the_end_of_a_process_wakes_once(process: subprocess.Popen[bytes]) -> None:
    with closing(ProcessEnds()) as ends:
        assert not ends.has_ended(process.pid) and not ends.has_ended(os.getpid())
        process.kill()  # nobody reaps it: it is a zombie from here on
        ends.wait(NEVER_S)
        assert ends.has_ended(process.pid) and not ends.has_ended(os.getpid())
        threading.Timer(0.1, ends.wake).start()
        ends.wait(NEVER_S)  # until it is woken, since that end has been told


def test_where_the_kernel_does_not_tell_it_is_looked_up(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with closing(ProcessEnds()) as ends:
        assert not ends.has_ended(process.pid)
        ends.wait(0.0)
        process.kill()
        until(lambda: ends.has_ended(process.pid))


def test_a_call_to_wake_that_comes_first_is_not_lost() -> None:
    with closing(ProcessEnds()) as ends:
        for _ in range(100_000):  # more than a pipe holds
            ends.wake()
        ends.wait(NEVER_S)


def test_a_process_that_ended_before_it_was_asked_for(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with closing(ProcessEnds()) as ends:
        assert ends.has_ended(process.pid)
