"""The command that ends the watching of a process that was attached to."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  vgrad-tui release pid-12345
  vgrad-tui release pid                       the beginning of a name will do
"""
)
@click.argument("run")
def release(run: str) -> int:
    """Take all hooks off a process that was attached to by its process id; its training goes on.

    RUN may be the beginning of a name.
    """
    from vgrad.run.attach_pid import release_process
    from vgrad.store.listing import find_run

    folder = find_run(run)
    release_process(folder)
    click.echo(f"{folder.name} is no longer watched")
    return 0
