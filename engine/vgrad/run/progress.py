"""How far a run without a screen is: one redrawn line in a terminal, plain lines in a log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vgrad.events.batch import Batch
from vgrad.events.notices import Preparing, RunStarted, Validated, VerdictChanged
from vgrad.events.step_record import StepRecord
from vgrad.printable import printable
from vgrad.run.output import Output

_BAR_WIDTH = 20
_LOG_LINES = 10
_LOG_EVERY_S = 30.0


class ProgressView(Protocol):
    """Shows how far a run is."""

    def observe(self, batch: Batch) -> None:
        """Take in what happened since the last batch, and show it."""

    def close(self) -> None:
        """Leave the stream as others expect it: at the start of a line."""


@dataclass(slots=True)
class Status:
    """The newest of everything that a line of progress tells."""

    num_steps: int | None = None
    preparing: str = ""
    record: StepRecord | None = None
    val_loss: float | None = None
    verdict: str = "starting"

    def observe(self, batch: Batch) -> None:
        """Take in what happened since the last batch."""
        if batch.blocks:
            self.record = batch.blocks[-1].record(-1)
        for notice in batch.notices:
            match notice.body:
                case Preparing(what=what):
                    self.preparing = what
                case RunStarted(info=info):
                    self.num_steps = info.num_steps
                case Validated(loss=loss):
                    self.val_loss = loss
                case VerdictChanged(verdict=verdict):
                    self.verdict = verdict.kind

    @property
    def share(self) -> float:
        """Share of the steps that are done, in [0, 1]; 0 for a run without an end."""
        return self.record.step / self.num_steps if self.record and self.num_steps else 0.0

    def line(self, width: int | None = None) -> str:
        """What is known, in one line of at most ``width`` characters; None for no limit.

        Where there is no room the least telling parts are left out, the bar first.
        """
        record = self.record
        if record is None:
            return printable(f"{self.preparing or 'starting'} ...")[:width]
        goal = f"/{self.num_steps:,}" if self.num_steps else ""
        rate = record.step / record.elapsed_s if record.elapsed_s > 0 else math.nan
        remaining_s = (self.num_steps - record.step) / rate if self.num_steps else math.nan
        parts = [  # from left to right, each with its rank: the highest goes first
            (6, progress_bar(self.share) if self.num_steps else ""),
            (0, f"step {record.step:,}{goal}"),
            (0, "" if record.loss is None else f"loss {record.loss:.4g}"),
            (4, "" if self.val_loss is None else f"val {self.val_loss:.4g}"),
            (2, f"grad {record.grad_norm:.2e}"),
            (5, f"{rate:,.4g} steps/s" if math.isfinite(rate) else ""),
            (3, f"ETA {clock_time(remaining_s)}" if math.isfinite(remaining_s) else ""),
            (1, self.verdict),
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
        self._status = Status()

    def observe(self, batch: Batch) -> None:
        """Take in ``batch`` and draw the line again."""
        self._status.observe(batch)
        self._output.write(f"\r{self._status.line(self._output.columns - 1)}\x1b[K")

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
        self._status = Status()
        self._told_lines = 0
        self._told_at_s = now_s()

    def observe(self, batch: Batch) -> None:
        """Take in ``batch`` and write what is due."""
        self._status.observe(batch)
        for notice in batch.notices:
            match notice.body:
                case Preparing(what=what):
                    self._tell(f"{what} ...")
                case VerdictChanged(step=step, verdict=verdict):
                    self._tell(f"step {step:,}: gradients {verdict.kind}: {verdict.evidence}")
        lines = int(self._status.share * _LOG_LINES)
        is_late = self._now_s() - self._told_at_s >= _LOG_EVERY_S
        if self._status.record and (lines > self._told_lines or is_late):
            self._told_lines = lines
            self._tell(self._status.line())

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
