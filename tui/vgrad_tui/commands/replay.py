"""The command that plays a recorded run again."""

from __future__ import annotations

import gc
import os
import sys

import click


@click.command(
    epilog="""\b
Examples:
  vgrad-tui replay                            the run that was recorded last
  vgrad-tui replay charlm-rnn-1127-031500
  vgrad-tui replay charlm-rnn --at 1200       paused at that step

\b
space plays and pauses, = and - change the speed, n and N go to the next and the previous command or
verdict, g goes to a step, . and , go one step on and back. A run that failed opens at its last step.
"""
)
@click.argument("run", required=False)
@click.option("--at", "at_step", type=click.IntRange(min=0), metavar="STEP", help="Begin there, paused.")
@click.option("--frugal", is_flag=True, help="Draw less often, for slow lines and busy machines.")
@click.option("--ascii/--no-ascii", default=None, help="Draw in ASCII [default: as it can].")
def replay(run: str | None, at_step: int | None, frugal: bool, ascii: bool | None) -> int:
    """Play a recorded run again: at any speed, from any step, to any command or verdict.

    RUN may be the beginning of a name; without one it is the run that was recorded last. It is the screen of
    the run itself, within the recorded resolution.
    """
    # A screen multiplies no matrices: without this, numpy starts a thread for each core when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from vgrad.store.listing import find_run, newest_run
    from vgrad_tui.launch import replay_app

    folder = newest_run() if run is None else find_run(run)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual reads one, draws on the other
        raise click.UsageError("the screen needs a terminal; without one: vgrad-tui tail")
    gc.disable()  # until the first frame, as in `vgrad-tui run`
    return replay_app(folder, at_step=at_step, frugal=frugal, ascii=ascii)
