"""How far a run without a screen is: one redrawn line in a terminal, plain lines in a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from vgrad.events.notices import Preparing, VerdictChanged
from vgrad.printable import printable
from vgrad.run.output import Output

if TYPE_CHECKING:
    from vgrad.events.batch import Batch
    from vgrad.run.run_history import RunHistory

_BAR_WIDTH = 20
_LOG_LINES = 10
_LOG_EVERY_S = 30.0


class ProgressView(Protocol):
    """Shows how far a run is."""

    def observe(self, history: RunHistory, batch: Batch) -> None:
        """Show how far the run is, and what is new in ``batch``, which ``history`` has taken."""

    def close(self) -> None:
        """Leave the stream as others expect it: at the start of a line."""


def share_done(history: RunHistory) -> float:
    """Share of the steps that are done, in [0, 1]; 0 for a run without an end."""
    num_steps = history.info.num_steps if history.info else None
    return history.step / num_steps if num_steps else 0.0


def progress_line(history: RunHistory, width: int | None = None) -> str:
    """What is known of a run, in one line of at most ``width`` characters; None for no limit.

    Where there is no room the least important parts are left out, the bar first.
    """
    record = history.record
    if record is None:
        return printable(f"{history.preparing} ...")[:width]
    num_steps = history.info.num_steps if history.info else None
    goal = f"/{num_steps:,}" if num_steps else ""
    rate = record.step / record.elapsed_s if record.elapsed_s > 0 else math.nan
    remaining_s = (num_steps - record.step) / rate if num_steps else math.nan
    val_loss = history.totals.val_loss
    parts = [  # from left to right, each with its rank: the highest goes first
        (6, progress_bar(share_done(history)) if num_steps else ""),
        (0, f"step {record.step:,}{goal}"),
        (0, "" if record.loss is None else f"loss {record.loss:.4g}"),
        (4, "" if val_loss is None else f"val {val_loss:.4g}"),
        (2, f"grad {record.grad_norm:.2e}"),
        (5, f"{rate:,.4g} steps/s" if math.isfinite(rate) else ""),
        (3, f"ETA {clock_time(remaining_s)}" if math.isfinite(remaining_s) else ""),
        (1, history.verdict.kind),
    ]
    for lowest_left_out in range(7, 0, -1):
        line = "  ".join(text for rank, text in parts if text and rank < lowest_left_out)
        if width is None or len(line) <= width:
            return line
    return line[:width]


class ProgressLine:
    """One line, redrawn in place and fitted to the terminal.

    Args:
        output: A terminal.
    """

    def __init__(self, output: Output) -> None:
        self._output = output

    def observe(self, history: RunHistory, batch: Batch) -> None:
        """Draw the line again."""
        self._output.write(f"\r{progress_line(history, self._output.columns - 1)}\x1b[K")

    def close(self) -> None:
        """End the line."""
        self._output.write("\n")


class ProgressLog:
    """A line at each tenth of the run, after 30 s without one, and for each change of verdict.

    Args:
        output: A file or a pipe.
        now_s: Clock in seconds.
    """

    def __init__(self, output: Output, now_s: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._now_s = now_s
        self._told_lines = 0
        self._told_at_s = now_s()

    def observe(self, history: RunHistory, batch: Batch) -> None:
        """Write what is due."""
        for notice in batch.notices:
            match notice.body:
                case Preparing(what=what):
                    self._tell(f"{what} ...")
                case VerdictChanged(step=step, verdict=verdict):
                    self._tell(f"step {step:,}: gradients {verdict.kind}: {verdict.evidence}")
        lines = int(share_done(history) * _LOG_LINES)
        is_late = self._now_s() - self._told_at_s >= _LOG_EVERY_S
        if history.record and (lines > self._told_lines or is_late):
            self._told_lines = lines
            self._tell(progress_line(history))

    def close(self) -> None:
        """Nothing to do: every line has been ended."""

    def _tell(self, line: str) -> None:
        self._output.write(f"{printable(line)}\n")
        self._told_at_s = self._now_s()


def progress_on(output: Output) -> ProgressView:
    """Return the kind of progress that ``output`` can show."""
    return ProgressLine(output) if output.is_redrawable else ProgressLog(output)


def progress_bar(share: float) -> str:
    """``[#####-----]``, plain ASCII, so that it reads the same in every terminal."""
    filled = round(_BAR_WIDTH * min(max(share, 0.0), 1.0))
    return f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}]"


def clock_time(seconds: float) -> str:
    """``1:02`` or ``3:04:05``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
