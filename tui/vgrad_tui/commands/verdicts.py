"""The command that counts how often verdicts are right, on runs whose ending is known."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vgrad.run.output import Output
from vgrad.run.progress import clock_time, progress_bar

if TYPE_CHECKING:
    from vgrad.lab.accuracy.runs import LabelledRun


@click.command(
    epilog="""\b
Examples:
  vgrad-tui verdicts
  vgrad-tui verdicts --json > verdicts.json
  vgrad-tui verdicts --rerun --processes 4
"""
)
@click.option("--rerun", is_flag=True, help="Train all runs again, and count these.")
@click.option("--processes", type=click.IntRange(1, 1024), help="For --rerun [default: one to a CPU core].")
@click.option(
    "--save",
    "directory",
    type=click.Path(path_type=Path),
    help="With --rerun: keep the runs in this directory.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object, for scripts.")
def verdicts(rerun: bool, processes: int | None, directory: Path | None, as_json: bool) -> int:
    """Measure how often verdicts are right, on runs whose ending is known.

    Counts over the part of the runs that no rule was fitted to, and over small loops of other kinds, which
    `python -m vgrad.lab.accuracy.foreign` runs again.
    """
    from vgrad.lab.accuracy.foreign.report import foreign_as_dict, foreign_as_text, read_foreign_runs
    from vgrad.lab.accuracy.matrix import judge_all
    from vgrad.lab.accuracy.report import report_as_dict, report_as_text
    from vgrad.lab.accuracy.store import read_runs, write_runs

    if not rerun and (processes or directory):
        raise click.UsageError("--processes and --save go with --rerun")
    runs = _rerun(processes or os.cpu_count() or 1) if rerun else read_runs()
    if directory is not None:
        write_runs(runs, directory)
    judged = judge_all(runs)
    foreign = read_foreign_runs()
    if as_json:
        click.echo(
            json.dumps({**report_as_dict(judged), "foreign_loops": foreign_as_dict(foreign)}, indent=2)
        )
    else:
        click.echo(f"{report_as_text(judged)}\n\n{foreign_as_text(foreign)}")
    return 0


def _rerun(processes: int) -> list[LabelledRun]:
    from vgrad.lab.accuracy.families import all_cases
    from vgrad.lab.accuracy.runs import train_all

    begin = time.monotonic()

    messages = Output(sys.stderr, "stderr")
    end = "\n" if messages.is_redrawable else ""

    def say(what: str, done: int, total: int) -> None:
        took = clock_time(time.monotonic() - begin)
        if messages.is_redrawable:
            messages.write(f"\r{what:<16} {progress_bar(done / total)} {done} of {total}, {took} ")
        if done == total:
            messages.write(f"{end}{what}: all {total} after {took}\n")

    return train_all(all_cases(), processes=processes, on_progress=say)
