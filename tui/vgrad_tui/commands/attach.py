"""The command that opens the screen on a run of another process, or on one that has ended."""

from __future__ import annotations

import sys

import click


@click.command(
    epilog="""\b
Examples:
  vgrad-tui attach                            the newest run that is alive
  vgrad-tui attach charlm-rnn-1127-031500     that run, alive or ended

\b
One that has ended opens at its last step, as vgrad-tui replay does: space plays it again.
q leaves the screen and lets the run go on; Q asks, and ends the run.
"""
)
@click.argument("run", required=False)
@click.option("--frugal", is_flag=True, help="Draw less often, for slow lines and busy machines.")
@click.option("--ascii/--no-ascii", default=None, help="Draw in ASCII [default: as it can].")
def attach(run: str | None, frugal: bool, ascii: bool | None) -> int:
    """Open the screen on a recorded run, with its whole history: watch it, and steer it.

    RUN may be the beginning of a name. Several screens may be open on one run.
    """
    from vgrad.store.listing import find_run
    from vgrad_tui.launch import LAST_STEP, attach_app, replay_app

    folder = find_run(run).newest()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual reads one, draws on the other
        raise click.UsageError("the screen needs a terminal; without one: vgrad-tui tail")
    if folder.pid() is None:
        return replay_app(folder, at_step=LAST_STEP, frugal=frugal, ascii=ascii)
    return attach_app(folder, frugal=frugal, ascii=ascii)
