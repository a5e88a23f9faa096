"""The line of progress fits, and a log stays short."""

from __future__ import annotations

import io
import os
import pty

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.batches import make_batch

from vgrad.controls.controls import Controls
from vgrad.events.batch import Batch
from vgrad.events.notices import Preparing, RunStarted, Validated, VerdictChanged
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord
from vgrad.events.verdict import Verdict
from vgrad.printable import printable
from vgrad.run.output import Output
from vgrad.run.progress import (
    ProgressLine,
    ProgressLog,
    ProgressView,
    clock_time,
    progress_bar,
    progress_line,
    progress_on,
)
from vgrad.run.run_history import RunHistory


def started(num_steps: int | None) -> Batch:
    info = RunInfo("a", "", 0, "cpu", ("layer",), (1,), "tokens", num_steps, Controls())
    return make_batch(notices=(RunStarted(info),))


def stepped(step: int, loss: float = 2.5) -> Batch:
    record = StepRecord(
        step=step, loss=loss, lr=0.1, base_lr=0.1, grad_norm=0.03125, applied_norm=0.03125,
        grad_norms=np.ones(1, dtype=np.float32), num_tokens=0, num_samples=1, num_microbatches=1,
        elapsed_s=0.01 * step, step_s=0.01, watch_s=0.0,
    )  # fmt: skip
    return make_batch(records=(record,))


def show(view: ProgressView, history: RunHistory, batch: Batch) -> None:
    history.take(batch)
    view.observe(history, batch)


def history_of(*batches: Batch) -> RunHistory:
    history = RunHistory()
    for batch in batches:
        history.take(batch)
    return history


def test_a_wide_line_tells_everything() -> None:
    verdict = VerdictChanged(300, Verdict("healthy", ""))
    history = history_of(started(1200), stepped(600), make_batch(notices=(Validated(600, 2.75), verdict)))
    assert progress_line(history, 200).split("  ") == [
        "[##########----------]", "step 600/1,200", "loss 2.5", "val 2.75", "grad 3.12e-02",
        "100 steps/s", "ETA 0:06", "healthy",
    ]  # fmt: skip


@given(
    width=st.integers(0, 200),
    step=st.integers(1, 10**9),
    loss=st.floats(),
    num_steps=st.none() | st.integers(1, 10**9),
)
def test_a_line_fits_and_has_no_control_characters(
    width: int, step: int, loss: float, num_steps: int | None
) -> None:
    line = progress_line(history_of(started(num_steps), stepped(step, loss)), width)
    assert len(line) <= width
    assert line == printable(line)


@given(st.integers(30, 200))
def test_the_step_and_the_loss_are_the_last_to_go(width: int) -> None:
    line = progress_line(history_of(started(100), stepped(50)), width)
    assert "step 50/100  loss 2.5" in line


@given(st.text())
def test_what_is_prepared_is_printed_safely(what: str) -> None:
    line = progress_line(history_of(make_batch(notices=(Preparing(what),))), 40)
    assert len(line) <= 40
    assert line.isprintable()


def test_a_log_of_any_length_has_a_line_for_each_tenth() -> None:
    stream = io.StringIO()
    log = ProgressLog(Output(stream, "stderr"), now_s=lambda: 0.0)
    history = RunHistory()
    show(log, history, started(1000))
    for step in range(1, 1001):
        show(log, history, stepped(step))
    steps = [line.split()[2] for line in stream.getvalue().splitlines()]
    assert steps == [f"{step:,}/1,000" for step in range(100, 1001, 100)]


def test_a_log_of_a_slow_run_is_never_silent_for_long() -> None:
    now_s, stream = 0.0, io.StringIO()
    log = ProgressLog(Output(stream, "stderr"), now_s=lambda: now_s)
    history = RunHistory()
    show(log, history, started(10**6))
    for step in range(1, 91):
        now_s += 1.0
        show(log, history, stepped(step))
    assert len(stream.getvalue().splitlines()) == 3


def test_a_log_tells_what_it_waits_for_and_what_is_found() -> None:
    stream = io.StringIO()
    log = ProgressLog(Output(stream, "stderr"))
    history = RunHistory()
    show(log, history, make_batch(notices=(Preparing("importing torch"),)))
    show(log, history, make_batch(notices=(VerdictChanged(7, Verdict("exploding", "the loss\x1b[2J is 9")),)))
    assert stream.getvalue() == "importing torch ...\nstep 7: gradients exploding: the loss\\x1b[2J is 9\n"


def test_a_terminal_gets_one_line_redrawn() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", closefd=True) as screen, os.fdopen(follower, "w") as stream:
        view = progress_on(Output(stream, "stderr"))
        history = RunHistory()
        assert isinstance(view, ProgressLine)
        show(view, history, stepped(1))
        show(view, history, stepped(2))
        view.close()
        drawn = ""
        while "\n" not in drawn:  # a terminal hands out what it has, in pieces
            drawn += os.read(screen.fileno(), 4096).decode()
    first, second = drawn.split("\x1b[K")[:2]
    assert first.startswith("\rstep 1  loss 2.5")
    assert second.startswith("\rstep 2  loss 2.5")
    assert drawn.count("\n") == 1


def test_a_file_and_a_dumb_terminal_get_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress_on(Output(io.StringIO(), "stderr")), ProgressLog)
    leader, follower = pty.openpty()
    monkeypatch.setenv("TERM", "dumb")
    with os.fdopen(leader, "rb"), os.fdopen(follower, "w") as stream:
        assert isinstance(progress_on(Output(stream, "stderr")), ProgressLog)


@given(st.floats(0, 1))
def test_a_bar_has_one_width(share: float) -> None:
    assert len(progress_bar(share)) == len(progress_bar(0.0))


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (62, "1:02"), (11045, "3:04:05")])
def test_seconds_as_a_clock_shows_them(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


@given(st.text())
def test_printable_text_can_be_written_anywhere(text: str) -> None:
    safe = printable(text)
    assert safe.isprintable()
    safe.encode("utf-8")  # a lone surrogate would raise
    assert printable(safe) == safe


def test_printable_keeps_what_people_write() -> None:
    assert printable("größe σ 模型") == "größe σ 模型"
    assert printable("a\x1b[31m\u202e\udcff") == "a\\x1b[31m\\u202e\\udcff"
    assert printable("a\nb", keep="\n") == "a\nb"
