"""A whole run without a screen: progress on one stream, a JSON summary on the other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from vgrad.config import RunConfig
from vgrad.errors import ConfigError, VgradError
from vgrad.events.notices import RunEnded
from vgrad.run.output import Output
from vgrad.run.progress import ProgressView, progress_on
from vgrad.run.rewindable import RewindableRun
from vgrad.run.run_history import RunHistory
from vgrad.run.session import Session
from vgrad.run.summary import RunSummary, check_summary_path
from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.folder import RunFolder

if TYPE_CHECKING:
    from vgrad.run.resume import Resumption

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
_REFRESH_S = 0.2


def run_headless(
    config: RunConfig,
    *,
    stdout: TextIO | None,
    stderr: TextIO | None,
    summary_path: Path | None = None,
    record: bool = True,
    folder: RunFolder | None = None,
    resumption: Resumption | None = None,
) -> int:
    """Train until ``config.steps``, a signal or an error, and report.

    The first SIGINT or SIGTERM stops after the current step; a checkpoint and the summary are still
    written. A second one ends the process at once. Call it from the main thread, which gets the signals.

    A stream that fails (full, closed, or a pipe without a reader) loses its text and nothing else:
    training goes on, the summary file is written, and the exit code is that of the training.

    Args:
        config: The run, or what a ``resumption`` goes on with; without a ``folder`` it must have an end.
        stdout: Gets one line of JSON at the end, see `RunSummary.to_json`, and nothing else.
        stderr: Gets the progress, what a person's own task prints, the traceback of a training that
            failed, and one line if the JSON could not be written to ``stdout``.
        summary_path: Also write the JSON to this file.
        record: Whether to record the run into a folder, see `vgrad.store`.
        folder: The folder of a run that others steer, and may stop; a new one unless given.
        resumption: The recorded run to go on from; its settings are ``config``.

    Returns:
        Exit code: 0 done, 1 training failed, 130 stopped by a signal.

    Raises:
        VgradError: If the run makes no sense, found out before its first step.
        OSError: If the summary file cannot be written.
    """
    if config.steps is None and folder is None:
        raise ConfigError("a run without a screen needs an end: give --steps N")
    if summary_path is not None:
        check_summary_path(summary_path)
    session = Session.from_config(config) if resumption is None else resumption.session()
    history = RunHistory()
    results, messages = Output(stdout, "stdout"), Output(stderr, "stderr")
    progress = progress_on(messages)

    def warn(problem: str | None) -> None:
        messages.write(f"not recorded: {problem}\n" if problem else "recording goes on\n")

    run = RewindableRun(session, config.name, record=record, folder=folder, on_problem=warn)
    try:
        # What a person's own task prints is no part of the JSON.
        with run, redirect_stdout(stderr):
            ended = _drive(run, history, progress)
    finally:
        progress.close()
    if isinstance(run.exception, VgradError) and ended.step == 0:
        raise run.exception
    messages.write(ended.traceback_text or (f"{ended.message}\n" if ended.message else ""))
    if run.folder is not None and ended.reason == "stopped" and checkpoints_of(run.folder):
        messages.write(f"to go on from step {ended.step:,}: vgrad-tui run --resume {run.folder.name}\n")
    summary = RunSummary.of(history, recipe=config.recipe, seed=config.seed)
    results.write(summary.to_json() + "\n")
    if results.lost:
        messages.write(f"{results.lost}; the JSON summary is lost there\n")
    if summary_path is not None:
        summary.write(summary_path)
    return _exit_code(summary)


def _drive(session: Session | RewindableRun, history: RunHistory, progress: ProgressView) -> RunEnded:
    """Watch the run until it has ended, which is the last that is reported."""
    cursor = session.cursor()
    with stop_signals() as interruption:
        session.start()
        try:
            while True:
                has_ended = session.join(timeout=_REFRESH_S)
                batch = cursor.take()
                history.take(batch)
                progress.observe(history, batch)
                # Of a run that was rewound there may be more than the last words of its first session.
                if has_ended and history.ended is not None and not batch.notices:
                    return history.ended
                if interruption.asked and not interruption.passed_on:
                    interruption.passed_on = True
                    session.stop()
        finally:  # whatever goes wrong here must not leave the training thread behind
            session.stop()
            session.join()


@dataclass(slots=True)
class Interruption:
    """Whether a signal has asked for the end, and whether the session has been asked to stop."""

    asked: bool = False
    passed_on: bool = False


@contextmanager
def stop_signals() -> Iterator[Interruption]:
    """Note the first SIGINT or SIGTERM; the second is the system's, and ends the process at once."""
    interruption = Interruption()

    def note(signum: int, frame: FrameType | None) -> None:
        # Only a flag: the main thread may be inside a lock of the session at this moment.
        interruption.asked = True
        for other in previous:
            signal.signal(other, signal.SIG_DFL)

    previous = {
        signum: signal.signal(signum, note)
        for signum in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(signum) is not signal.SIG_IGN  # a background job is not to be interrupted
    }
    try:
        yield interruption
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def _exit_code(summary: RunSummary) -> int:
    return INTERRUPTED if summary.outcome == "stopped" else summary.exit_code
