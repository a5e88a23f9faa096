"""The command that runs a recorded run again, and says whether every loss is the same."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from vgrad.printable import printable

if TYPE_CHECKING:
    from vgrad.run.output import Output

_DIFFERS = 1
_REDRAWN_EVERY = 50  # steps


@click.command(
    epilog="""\b
Examples:
  vgrad-tui verify charlm-rnn-1127-031500
  vgrad-tui verify charlm-rnn                 the beginning of a name will do

\b
Exit codes: 0 identical, 1 something differs, 2 the run cannot be run again.
"""
)
@click.argument("run")
def verify(run: str) -> int:
    """Run a recorded run again, its commands at their steps, and compare every loss bit for bit.

    It takes as long as the run's training took. A run that crashed is compared as far as its record goes.
    """
    from vgrad.run.output import Output
    from vgrad.run.verify import verify as run_again
    from vgrad.store.listing import find_run

    folder = find_run(run)
    messages = Output(sys.stderr, "stderr")
    try:
        result = run_again(folder, lambda done, total: _show(messages, done, total))
    finally:
        if messages.is_redrawable:
            messages.write("\r\x1b[K")
    difference = result.difference
    if difference is None:
        click.echo(f"identical for {result.num_steps:,} steps")
        return 0
    click.echo(f"step {difference.step:,} differs: {printable(difference.words)}")
    click.echo(f"identical for the {result.num_steps:,} steps before it")
    for words in result.environment or ("nothing that is recorded",):
        click.echo(f"differs in the environment: {printable(words)}")
    return _DIFFERS


def _show(messages: Output, done: int, total: int) -> None:
    from vgrad.run.progress import progress_bar

    if messages.is_redrawable and (done % _REDRAWN_EVERY == 0 or done == total):
        messages.write(f"\r{progress_bar(done / total if total else 1.0)}  {done:,} of {total:,} steps\x1b[K")
