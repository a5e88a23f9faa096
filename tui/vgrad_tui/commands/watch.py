"""The command that runs somebody's training script, unmodified, and opens the screen on it."""

from __future__ import annotations

import sys

import click

from vgrad.run.output import Output
from vgrad.store.size_limit import make_room

_LAST_LINES = 12
_NO_TRAINING = "nothing was watched: no optimizer stepped, and no backward pass left gradients in a model\n"


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  vgrad-tui watch train.py --epochs 3          any training script, as it is
  vgrad-tui watch -m package.train             a module, as python -m
  vgrad-tui watch --clip norm:1 train.py       a control from the first step on
  vgrad-tui watch --detach train.py            no screen: prints the run's name
  vgrad-tui watch --nproc-per-node 2 train.py  on two processes, as torchrun
  vgrad-tui watch torchrun --nnodes 2 … train.py  with any options of torchrun's

\b
The script runs in a process of its own, with the same Python and an empty standard input. Until it trains,
its output stands here; then the screen opens, and 6 or o shows the output. q leaves the screen and lets the
script run; Q asks, and interrupts it as Ctrl-C would. Options of python -m vgrad (--clip, --fail-on,
--summary ...) stand before the script. The exit code is the script's own, if it has ended; on several
processes it is torchrun's.
""",
)
@click.option("--nproc-per-node", metavar="N", help="Start N processes, or gpu for one per GPU, as torchrun.")
@click.option("--detach", is_flag=True, help="Open no screen; print the run's name.")
@click.option("--frugal", is_flag=True, help="Draw less often, for slow lines and busy machines.")
@click.option("--ascii/--no-ascii", default=None, help="Draw in ASCII [default: as it can].")
@click.argument("arguments", metavar="SCRIPT.py|-m MODULE [ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
def watch(
    arguments: tuple[str, ...], nproc_per_node: str | None, detach: bool, frugal: bool, ascii: bool | None
) -> int:
    """Run a training script of your own, unmodified, and watch its gradients."""
    from vgrad.run.script_process import ScriptProcess

    if not detach and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("the screen needs a terminal; without one: --detach, or python -m vgrad")
    for removed in make_room():
        click.echo(removed, err=True)
    process = ScriptProcess(arguments, num_ranks=nproc_per_node)
    messages = Output(sys.stderr, "stderr")
    if not process.wait_for_training(messages.write):
        messages.write(_NO_TRAINING)
        return process.end_code() or 0
    if detach:
        click.echo(f"it goes on in a process of its own: vgrad-tui attach {process.folder.name}", err=True)
        click.echo(process.folder.name)
        return 0
    from vgrad_tui.launch import attach_app

    attach_app(process.folder, frugal=frugal, ascii=ascii)
    code = process.end_code()
    if code is None:
        messages.write(f"the script runs on: vgrad-tui attach {process.folder.name}\n")
        return 0
    messages.write("\n".join([*process.last_lines(_LAST_LINES), ""]))
    return code
