"""Keeps functions that stand in for torch's, or for the script's own, out of every traceback."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

_PACKAGE = str(Path(__file__).parents[1])


def leave_out_this_frame(error: BaseException) -> None:
    """Take the frame that has just caught ``error`` off its traceback.

    A bare ``raise`` must follow, which adds no entry for the frame that it leaves. So a program that prints
    the error, in any thread or process, sees the frames that there would be without us. An interrupt may
    have come while code of ours ran; those frames are taken off, too.
    """
    trace = None if error.__traceback__ is None else error.__traceback__.tb_next
    error.__traceback__ = trace if isinstance(error, Exception) else _without_ours(trace)


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    entries = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            entries.append(trace)
        trace = trace.tb_next
    for entry in reversed(entries):
        trace = TracebackType(trace, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return trace
