from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from vgrad.store.stop_signal import signal_that_ends


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process ignores")
@pytest.mark.parametrize(
    ("trap", "expected"),
    [("", signal.SIGINT), ("trap '' INT; ", signal.SIGTERM), ("trap '' HUP; ", signal.SIGINT)],
)
def test_a_process_that_ignores_ctrl_c_is_ended_by_another_signal(
    trap: str, expected: signal.Signals
) -> None:
    with subprocess.Popen(
        ["sh", "-c", f"{trap}exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.read(1) == b"x"  # by now `cat` runs
        assert signal_that_ends(process.pid) is expected
        process.send_signal(expected)
        assert process.wait(30) == -expected


def test_a_process_that_is_gone_gets_the_usual_one() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert signal_that_ends(process.pid) is signal.SIGINT
