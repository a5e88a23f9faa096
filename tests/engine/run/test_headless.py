"""What signals do to a run without a screen."""

from __future__ import annotations

import io
import signal
import subprocess
import sys

import pytest
from tests.engine.toys import toy_trainer

from vgrad.run.headless import _drive, stop_signals
from vgrad.run.output import Output
from vgrad.run.progress import ProgressLog
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session

WAITS_TWICE = """
import signal, sys, time
from vgrad.run.headless import stop_signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits an ignored one
with stop_signals() as interruption:
    print("ready", flush=True)
    while not interruption.asked:
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(first: signal.Signals, second: signal.Signals) -> None:
    command = [sys.executable, "-c", WAITS_TWICE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(second)
        assert process.wait(timeout=30) == -second


def test_handlers_are_put_back_and_an_ignored_signal_stays_ignored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signals() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.asked
            signal.raise_signal(signal.SIGTERM)
            assert interruption.asked
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is before[0]
    finally:
        signal.signal(signal.SIGINT, before[1])


class EndsEarly(Session):
    """A session whose last notice can be read before its thread has ended."""

    def join(self, timeout: float | None = None) -> bool:
        has_ended = super().join(60)
        self.num_looks = getattr(self, "num_looks", 0) + 1
        return has_ended and self.num_looks > 3


def test_the_last_notice_may_come_a_look_early() -> None:
    session = EndsEarly(toy_trainer(steps=3))
    ended = _drive(session, RunHistory(), ProgressLog(Output(io.StringIO(), "stderr")))
    assert (ended.reason, ended.step) == ("done", 3)
