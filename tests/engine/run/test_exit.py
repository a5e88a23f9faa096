"""A script may end while a session trains: Python exits in order, whatever the thread was doing."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import weakref

import pytest
from tests.engine.toys import toy_trainer

from vgrad.run.session import Session

TRAINS = """
import time, vgrad
from vgrad.run import session as module
module._SILENT_WAIT_S = 100.0  # a busy machine may take long to import torch
session = vgrad.Session.from_config(vgrad.RunConfig.make(recipe="charlm-rnn", threads=1))
session.start()
def wait_for_steps():
    while not session.drain().blocks:
        time.sleep(0.01)
"""

# A step that never ends, begun when the script ends.
STUCK = """
import signal, threading, time, vgrad
from vgrad.run import session as module
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits an ignored one
module._SILENT_WAIT_S = 0.1
has_begun = threading.Event()
def stick(*args):
    has_begun.set()
    time.sleep(600)
def prepare(say):
    trainer = vgrad.build(vgrad.RunConfig.make(recipe="charlm-rnn"))
    trainer.task.model.register_forward_pre_hook(stick)
    return trainer
vgrad.Session(prepare).start()
has_begun.wait()
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("attempt", range(5))
def test_a_script_that_ends_at_once_ends_without_a_word(attempt: int) -> None:
    result = python(TRAINS)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "end",
    ["", "session.submit(vgrad.Pause())", "session.stop()", "session.submit(vgrad.CheckGradients())"],
    ids=["training", "paused", "stopped", "checking"],
)
def test_a_script_that_ends_amid_training_ends_without_a_word(end: str) -> None:
    result = python(f"{TRAINS}\nwait_for_steps()\n{end}")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_exit_code_and_the_traceback_are_those_of_the_script() -> None:
    assert python(f"{TRAINS}\nwait_for_steps()\nraise SystemExit(7)").returncode == 7
    failed = python(f"{TRAINS}\nwait_for_steps()\nraise RuntimeError('of the script')")
    assert failed.returncode == 1
    assert failed.stderr.rstrip().endswith("RuntimeError: of the script")


def test_ctrl_c_ends_the_wait_for_a_step_that_takes_too_long() -> None:
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("vgrad: the current step must end")
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert (process.returncode, rest) == (130, "")


def test_a_session_that_has_ended_is_not_kept_alive() -> None:
    session = Session(toy_trainer(steps=2))
    session.start()
    assert session.join(60)
    there = weakref.ref(session)
    del session
    gc.collect()
    assert there() is None
