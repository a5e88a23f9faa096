"""How a run ended whose own process could not say so: it was killed, or its record is damaged."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from vgrad.events.notices import Notice, RunEnded
from vgrad.store.log import LogTail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.events.batch import Batch
    from vgrad.events.rank_stats import RankStats
    from vgrad.store.folder import RunFolder

KILLED = "the process ended without giving a reason: it was killed, ran out of memory, or crashed"
_LAST_LINES = 40


def likely_reason(ranks: Sequence[RankStats] | None) -> str:
    """Why a run ended whose process did not say so: a launcher ends all ranks where one has failed."""
    failed = (each for each in ranks or () if each.pid and each.problem)  # without pid: it is not watched
    return next((f"rank {each.rank}: {each.problem}" for each in failed), KILLED)


def ended_by(
    folder: RunFolder, error: str, *, step: int, sequence: int, printed: str | None = None
) -> Notice:
    """The notice that such a run lacks: it has failed, after ``step`` steps, for the reason ``error``.

    Its time is that of the last record.
    """
    files = (folder.database, folder.database.with_name(f"{folder.database.name}-wal"))
    found = [file.stat() for file in files if file.exists()]
    # A reader, too, makes a write-ahead log, an empty one.
    time_s = max((each.st_mtime for each in found if each.st_size), default=time.time())
    body = RunEnded(step, "failed", None, None, None, 0.0, error=error, traceback_text=printed)
    return Notice(sequence, time_s, step, 0, body)


def with_end(batch: Batch, folder: RunFolder) -> Batch:
    """``batch``, all that is recorded of a run whose process is gone, with the end that it may lack."""
    if any(isinstance(notice.body, RunEnded) for notice in batch.notices):
        return batch
    step = max((int(block.step[-1]) for block in batch.blocks), default=0)
    number = batch.notices[-1].sequence + 1 if batch.notices else 0
    folder = folder.settled()
    reason, printed = likely_reason(batch.ranks), last_printed(folder)
    end = ended_by(folder, reason, step=step, sequence=number, printed=printed)
    return replace(batch, notices=(*batch.notices, end))


def last_printed(folder: RunFolder) -> str | None:
    """The last lines that the run's process printed, where they were kept; None where there are none."""
    return "\n".join(LogTail(folder.log).lines()[-_LAST_LINES:]) or None
