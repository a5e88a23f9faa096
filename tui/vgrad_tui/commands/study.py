"""The command that runs the study of methods, with its line of progress."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vgrad.run.output import Output

if TYPE_CHECKING:
    from vgrad.lab.study import Progress, Study

_INTERRUPTED = 130
_MAX_JOBS = 1024


@click.command(
    epilog="""\b
Examples:
  vgrad-tui study --quick
  vgrad-tui study --only temporal-order --jobs 2
  vgrad-tui study --only depth-sigmoid --seeds 3 --out depth --json

\b
Writes to --out: runs.jsonl (every run, as it ends), table.md, table.csv, and a picture (SVG) of each
experiment. Ctrl-C keeps what is done; the same command again does what is missing.
Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted.
"""
)
@click.option("--quick", is_flag=True, help="Few experiments, methods and updates: about a minute.")
@click.option("--only", multiple=True, metavar="RECIPE", help="A recipe, or an experiment; repeatable.")
@click.option("--seeds", "num_seeds", type=int, help="Seeds per method [default: 5; 3 where it is slow].")
@click.option("--jobs", type=click.IntRange(1, _MAX_JOBS), help="Processes [default: one per core].")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="study",
    help="Folder [default: study].",
)
@click.option("--json", "as_json", is_flag=True, help="The table as a JSON list on stdout.")
def study(
    quick: bool, only: tuple[str, ...], num_seeds: int | None, jobs: int | None, out: Path, as_json: bool
) -> int:
    """Try the methods on the recipes, and say which of them helped.

    Every method is compared with the same run without it, seed by seed; the table's header has the rule.
    """
    from vgrad.lab.study import Study, full_plan, quick_plan

    plan = (quick_plan() if quick else full_plan()).only(only).with_seeds(num_seeds)
    work = Study(plan, out)
    messages = Output(sys.stderr, "stderr")
    for line in plan.left_out:
        messages.write(f"left out: {line}\n")
    is_whole = _carry_out(work, jobs or _num_cores(), messages)
    paths = work.write()
    _tell(work, paths, messages, as_json=as_json)
    return 0 if is_whole else _INTERRUPTED


def _carry_out(work: Study, jobs: int, messages: Output) -> bool:
    """Do what is missing; False if a signal stopped it."""
    if work.num_done:
        messages.write(f"{work.num_done:,} of {work.num_planned:,} runs were done before\n")
    line = _Line(messages, work.num_planned - work.num_done)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # it, too, must end the processes
    try:
        with closing(work.go_on(jobs=jobs)) as going:
            for progress in going:
                line.show(progress)
    except KeyboardInterrupt:
        return False
    finally:
        signal.signal(signal.SIGTERM, before)
        line.close()
    return True


def _tell(work: Study, paths: list[Path], messages: Output, *, as_json: bool) -> None:
    from vgrad.lab.study.report import in_short, table_to_json

    rows = work.rows()
    results = Output(sys.stdout, "stdout")
    lines = (
        [table_to_json(rows)] if as_json else [line.replace("**", "") for line in in_short(work.plan, rows)]
    )
    for line in lines:
        results.write(f"{line}\n")
    if results.lost:
        messages.write(f"{results.lost}; the table is in {paths[0]}\n")
    messages.write(f"{work.num_done:,} of {work.num_planned:,} runs done: {paths[0]}\n")
    if work.num_done < work.num_planned:
        messages.write("stopped; the same command goes on from here\n")


def _num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Line:
    """One line, redrawn in place in a terminal; elsewhere a line for every run.

    Args:
        output: Where it goes.
        num_missing: Runs that this call still has to do, from which the remaining time is estimated.
    """

    def __init__(self, output: Output, num_missing: int) -> None:
        self._output = output
        self._num_missing = num_missing
        self._num_here = 0
        self._begin_s = time.monotonic()
        self._redraws = output.is_redrawable

    def show(self, progress: Progress) -> None:
        """Show that a run has ended."""
        self._num_here += 1
        elapsed_s = time.monotonic() - self._begin_s
        remaining_s = elapsed_s / self._num_here * (self._num_missing - self._num_here)
        from vgrad.run.progress import clock_time, progress_bar

        experiment, method, seed = progress.run.key
        share = progress.num_done / progress.num_planned
        count = f"run {progress.num_done:,}/{progress.num_planned:,}"
        last = f"{experiment}, {method}, seed {seed}"
        text = f"{progress_bar(share)}  {count}  about {clock_time(remaining_s)} left  {last}"
        if self._redraws:
            text = f"\r{text[: self._output.columns - 1]}\x1b[K"
        self._output.write(text if self._redraws else f"{text}\n")

    def close(self) -> None:
        """Leave the stream at the start of a line."""
        if self._redraws and self._num_here:
            self._output.write("\n")
