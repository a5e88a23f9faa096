"""The command that lists the runs of this account, and removes those that are no longer wanted."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from vgrad.errors import ConfigError
from vgrad.printable import printable

if TYPE_CHECKING:
    from vgrad.store.folder import RunFolder
    from vgrad.store.listing import ListedRun

_HEADINGS = ("NAME", "STATUS", "STEP", "LOSS", "VERDICT", "STARTED", "SIZE")
_NUMBERS = {"STEP", "LOSS", "SIZE"}
_LEFT_OUT = ("STARTED", "SIZE")  # where it is narrow, in this order: most names have the time in them
_GAP = "  "


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  vgrad-tui runs
  vgrad-tui runs --json
  vgrad-tui runs rm depth-sigmoid-1127-031500
""",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list, for scripts.")
@click.pass_context
def runs(context: click.Context, as_json: bool) -> int:
    """List the runs of this account, the newest first: what they are, and whether they are alive.

    Runs lie in $VGRAD_HOME, or in ~/.local/state/vgrad. Where that is on a network file system, a run is
    kept on a local disk of its host until it ends ($VGRAD_LOCAL, or /var/tmp/vgrad-UID), and moved then.
    """
    if context.invoked_subcommand:
        return 0
    from vgrad.store.listing import list_runs

    found = list_runs()
    if as_json:
        click.echo(json.dumps([_as_json(run) for run in found], indent=2))
    elif not found:
        click.echo("no runs yet: vgrad-tui run records one")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
        for line in run_table(found, width):
            click.echo(line)
        for run in found:
            if run.problem:
                can_go = run.status == "unreadable" and run.pid is None
                remedy = f" (to delete it: vgrad-tui runs rm {shlex.quote(run.name)})" if can_go else ""
                click.echo(printable(run.problem + remedy))
        click.echo(_total(found))
    return 0


@runs.command(
    epilog="""\b
Examples:
  vgrad-tui runs rm depth-sigmoid-1127-031500
"""
)
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
def rm(names: tuple[str, ...]) -> int:
    """Delete the folders of runs, named in full; one that is alive stays, and is named."""
    from vgrad.store.size_limit import size_words

    folders = [_named_in_full(name) for name in names]  # a wrong name deletes nothing
    for folder in folders:
        size = folder.num_bytes()
        folder.remove()
        click.echo(f"removed {printable(folder.name)} ({size_words(size)})")
    return 0


def _named_in_full(name: str) -> RunFolder:
    from vgrad.store.folder import RunFolder, all_runs

    try:
        return RunFolder.find(name)
    except ConfigError:
        begun = [folder.name for folder in all_runs() if name and folder.name.startswith(name)]
        if not begun:
            raise
        raise ConfigError(f"no run is called {name!r}: name it in full, {' or '.join(begun[:5])}") from None


def _as_json(run: ListedRun) -> dict[str, object]:
    values = asdict(run)
    if run.loss is not None and not math.isfinite(run.loss):
        values["loss"] = None  # JSON has no NaN; the verdict says what happened
    return values


def run_table(found: list[ListedRun], width: float) -> list[str]:
    """A heading and a line for each run; columns that can be done without are left out where it is narrow."""
    columns = list(zip(_HEADINGS, *map(_row, found), strict=True))
    for heading in _LEFT_OUT:
        if sum(max(map(_cells, column)) + len(_GAP) for column in columns) - len(_GAP) > width:
            columns = [column for column in columns if column[0] != heading]
    aligned = ([_aligned(column[0], text, max(map(_cells, column))) for text in column] for column in columns)
    return [_GAP.join(row).rstrip() for row in zip(*aligned, strict=True)]


def _total(found: list[ListedRun]) -> str:
    from vgrad.store.size_limit import limit_bytes, size_words

    size, limit = size_words(sum(run.size for run in found)), limit_bytes()
    if math.isinf(limit):
        return f"{size} in all, without a limit"
    return f"{size} of {size_words(limit)}: beyond that, a new run removes the oldest that have ended"


def _row(run: ListedRun) -> tuple[str, ...]:
    from vgrad.store.size_limit import size_words

    started = "–" if run.started_s is None else time.strftime("%m-%d %H:%M", time.localtime(run.started_s))
    return (
        printable(run.name),
        run.status,
        f"{run.step:,}",
        "–" if run.loss is None else f"{run.loss:.4g}",
        printable(run.verdict or "–"),
        started,
        size_words(run.size),
    )


def _aligned(heading: str, text: str, width: int) -> str:
    blanks = " " * (width - _cells(text))
    return blanks + text if heading in _NUMBERS else text + blanks


def _cells(text: str) -> int:
    """Cells that ``text`` takes; Rich is imported only where that is more than its characters."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
