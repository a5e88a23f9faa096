"""The command that opens the screen on a run of another process, or on one that has ended."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from vgrad.printable import printable

if TYPE_CHECKING:
    from vgrad.store.folder import RunFolder


@click.command(
    epilog="""\b
Examples:
  vgrad-tui attach                            the run that is alive; where there are several, asks which
  vgrad-tui attach charlm-rnn-1127-031500     that run, alive or ended
  vgrad-tui attach --list                     the Python processes of yours that have torch loaded
  vgrad-tui attach 12345                      the training process 12345, started without vgrad
  vgrad-tui release pid-12345                 takes the hooks off it again

\b
One that has ended opens at its last step, as vgrad-tui replay does: space plays it again.
q leaves the screen and lets the run go on; Q asks, and ends the run.
"""
)
@click.argument("run", metavar="[RUN|PID]", required=False)
@click.option("--list", "lists", is_flag=True, help="List the processes that can be attached to.")
@click.option("--frugal", is_flag=True, help="Draw less often, for slow lines and busy machines.")
@click.option("--ascii/--no-ascii", default=None, help="Draw in ASCII [default: as it can].")
def attach(run: str | None, lists: bool, frugal: bool, ascii: bool | None) -> int:
    """Open the screen on a recorded run, with its whole history: watch it, and steer it.

    RUN may be the beginning of a name; of several such runs, the one that is alive. Several screens may be
    open on one run. PID is a process that trains and was started without vgrad: it is watched from its next
    step on (needs gdb). Without a terminal the name of its run is printed.
    """
    # A screen multiplies no matrices: without this, numpy starts a thread for each core when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if lists:
        _list_processes()
        return 0
    if run is not None and run.isdecimal():
        return _attach_process(int(run), frugal=frugal, ascii=ascii)
    from vgrad.store.listing import find_run
    from vgrad_tui.launch import LAST_STEP, replay_app

    folder = (_chosen() if run is None else find_run(run)).newest()
    if not _has_terminal():
        raise click.UsageError("the screen needs a terminal; without one: vgrad-tui tail")
    gc.disable()  # until the first frame, as in `vgrad-tui run`
    if folder.pid() is None:
        return replay_app(folder, at_step=LAST_STEP, frugal=frugal, ascii=ascii)
    return _show(folder, frugal=frugal, ascii=ascii)


def _attach_process(pid: int, *, frugal: bool, ascii: bool | None) -> int:
    from vgrad.run.attach_pid import attach_process

    folder = attach_process(pid, lambda sentence: click.echo(sentence, err=True))
    if not _has_terminal():
        click.echo(folder.name)
        return 0
    return _show(folder, frugal=frugal, ascii=ascii)


def _show(folder: RunFolder, *, frugal: bool, ascii: bool | None) -> int:
    """Open the screen on a run that is alive; where it is left running, say how to come back."""
    from vgrad.run.output import Output
    from vgrad_tui.launch import attach_app

    code = attach_app(folder, frugal=frugal, ascii=ascii)
    newest = folder.newest()  # it may have been rewound
    if newest.pid() is not None:  # the terminal may be gone
        Output(sys.stderr, "stderr").write(f"it runs on: vgrad-tui attach {printable(newest.name)}\n")
    return code


def _list_processes() -> None:
    """The processes that can be attached to, a line each; a worker process below the one that started it."""
    from vgrad.run.attach_pid import folder_of
    from vgrad.run.target_process import all_targets

    targets = all_targets()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    by_pid = {target.pid: target for target in targets}
    for target in targets:
        parent, folder = by_pid.get(target.parent), folder_of(target.pid)
        what = printable(target.command)
        if folder is not None:
            what = f"[watched: {printable(folder.name)}] {what}"
        elif parent is not None:
            what = f"[started by {parent.pid}] {what}"
        line = f"{target.pid:>8}  {what}"
        click.echo(line if width is None or len(line) <= width else f"{line[: width - 3]}...")
    if not targets:
        click.echo("no Python process of yours has torch loaded", err=True)


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()  # Textual reads one, draws on the other


class _Number(click.IntRange):
    """A number in a list; what is none of them is answered in words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"type a number from {self.min} to {self.max}, or Ctrl-C to leave")


def _chosen() -> RunFolder:
    """The run that is alive; where there are several, the one that the person at the terminal chooses."""
    from vgrad.store.folder import all_runs
    from vgrad.store.listing import find_run, look

    alive = [folder for folder in all_runs() if folder.pid() is not None]
    if len(alive) < 2 or not _has_terminal():
        return find_run(None)
    for number, folder in enumerate(alive, start=1):
        seen = look(folder)
        loss = "" if seen.loss is None else f"  loss {seen.loss:.4g}"
        verdict = f"  {printable(seen.verdict or 'starting')}"
        click.echo(f"{number:>3}  {printable(folder.name)}  step {seen.step:,}{loss}{verdict}", err=True)
    choice: int = click.prompt("attach to", type=_Number(1, len(alive)), default=1, err=True)
    return alive[choice - 1]
