"""The command that trains a recipe or a person's own task, on a screen or without one."""

from __future__ import annotations

import gc
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import Number
from vgrad.run.output import Output
from vgrad.store.size_limit import make_room

if TYPE_CHECKING:
    from vgrad.config import RunConfig
    from vgrad.run.resume import Resumption

_PATH = click.Path(path_type=Path)


def _control_options(command: Callable[..., int]) -> Callable[..., int]:
    """A flag for every control: it says what the control is at the first step."""
    for control in reversed(tuple(CONTROLS.values())):
        what = "" if isinstance(control, Number) else f": {', '.join(control.words)}"
        command = click.option(
            f"--{control.name.replace('_', '-')}", metavar="VALUE", help=f"{control.help}{what}."
        )(command)
    return command


@click.command(
    epilog="""\b
Examples:
  vgrad-tui run charlm-rnn --text book.txt
  vgrad-tui run charlm-rnn --clip norm:1 --accumulate 4 --lr-scale 0.5
  vgrad-tui run my-run.toml --seed 3
  vgrad-tui run depth-sigmoid --set activation=tanh --set depth=12
  vgrad-tui run --headless --steps 600 --summary run.json
  vgrad-tui run charlm-lstm --detach
  vgrad-tui run --resume charlm-lstm-1127-031500 --steps 2000
  vgrad-tui run my_task.py --set width=64       your own model and data
  vgrad-tui run my_task.py:small --clip norm:1  another function of that file

\b
A task file has a function that returns a vgrad.Task:
  def build(seed, device, width=32): return vgrad.Task(model=..., optimizer=..., data=..., loss=...)
Its other parameters are the options of --set (and --lr, --batch-size, --text, if it has them).

\b
A flag wins over the TOML file; its keys are the fields of vgrad.RunConfig.
Exit codes: 0 done, 1 training failed, 2 bad usage, 130 interrupted.
"""
)
@click.argument("source", metavar="[RECIPE|TASK.py|FILE.toml]", required=False)
@click.option("--config", "config_path", type=_PATH, help="TOML file of settings.")
@click.option("--steps", type=int, help="Optimizer steps to run [default: no end].")
@click.option("--seed", type=int, help="Seed of the weights and of the data's order [default: 0].")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps ... [default: auto].")
@click.option("--text", type=_PATH, help="Text file to train on.")
@_control_options
@click.option("--lr", type=float, help="Base learning rate [default: the recipe's].")
@click.option("--batch-size", type=int, help="Samples per microbatch [default: the recipe's].")
@click.option("--eval-every", type=int, help="Steps between validations, 0: only at the end [default: 100].")
@click.option("--watch-budget", "--budget", type=float, help="Share of a step for watching [default: 0.02].")
@click.option("--threads", type=int, help="CPU threads, 0: as torch chooses [default: 1].")
@click.option(
    "--set", "options", multiple=True, metavar="KEY=VALUE", help="Setting of the recipe or task; repeatable."
)
@click.option("--headless", is_flag=True, help="No screen: JSON on stdout. Needs --steps.")
@click.option("--summary", "summary_path", type=_PATH, help="Write the JSON there.")
@click.option("--resume", "resumed", metavar="RUN", help="Go on from a recorded run, bit for bit.")
@click.option("--at", type=int, metavar="STEP", help="With --resume: from that step [default: the last].")
@click.option("--detach", is_flag=True, help="Train in a process of its own; print the run's name.")
@click.option("--record/--no-record", default=True, help="Record the run into a folder [default: record].")
@click.option("--frugal", is_flag=True, help="Draw less often, for slow lines and busy machines.")
@click.option("--ascii/--no-ascii", default=None, help="Draw in ASCII [default: as it can].")
def run(
    source: str | None,
    config_path: Path | None,
    options: tuple[str, ...],
    headless: bool,
    summary_path: Path | None,
    resumed: str | None,
    at: int | None,
    detach: bool,
    record: bool,
    frugal: bool,
    ascii: bool | None,
    **flags: object,
) -> int:
    """Train a recipe or a task of your own, and watch it.

    RECIPE is a name that `vgrad-tui recipes` lists; TASK.py or TASK.py:FUNCTION is a Python file with your
    own model and data; a name that ends in .toml is a file of settings.
    """
    if detach and not record:
        raise click.UsageError("a detached run is found by its record: --detach goes without --no-record")
    if summary_path is not None:
        from vgrad.run.summary import check_summary_path

        summary_path = summary_path.absolute()  # a task may change its directory
        check_summary_path(summary_path)
    if not (headless or detach):
        gc.disable()  # until the first frame: a thousand modules are being made, and none is garbage
    resumption = None
    if resumed is not None:
        given = {"source": source, "config": config_path, "set": options or None, **flags}
        resumption = _resumption(resumed, at, given)
        config = resumption.config
    elif at is not None:
        raise click.UsageError("--at goes with --resume RUN")
    else:
        config = _read_config(source, config_path, {**flags, "options": _parse_options(options)})
    if record:
        for removed in make_room(keep=None if resumption is None else resumption.folder.name):
            click.echo(removed, err=True)
    if detach:
        return _detach(config, resumption, summary_path)
    if headless:
        from vgrad.run.headless import run_headless

        return run_headless(
            config,
            stdout=sys.stdout,
            stderr=sys.stderr,
            summary_path=summary_path,
            record=record,
            resumption=resumption,
        )
    return _run_screen(config, resumption, summary_path, record=record, frugal=frugal, ascii=ascii)


def _resumption(name: str, at: int | None, given: dict[str, object]) -> Resumption:
    """What goes on has the settings of the run that it goes on from; it may only be longer."""
    from vgrad.run.resume import Resumption
    from vgrad.store.listing import find_run

    steps = given.pop("steps")
    others = [f"--{flag.replace('_', '-')}" for flag, value in given.items() if value is not None]
    if others:
        raise click.UsageError(
            f"--resume goes on with the settings of the run, so only --steps may be given, "
            f"not {', '.join(others)}".replace("--source", "a recipe or file")
        )
    return Resumption.of(find_run(name), at=at, steps=cast("int | None", steps))


def _detach(config: RunConfig, resumption: Resumption | None, summary_path: Path | None) -> int:
    from vgrad.run.detached import start

    folder = start(config, resumption, summary_path=summary_path)
    click.echo(f"training goes on in a process of its own: vgrad-tui tail {folder.name} --follow", err=True)
    click.echo(folder.name)
    return 0


def _run_screen(
    config: RunConfig,
    resumption: Resumption | None,
    summary_path: Path | None,
    *,
    record: bool,
    frugal: bool,
    ascii: bool | None,
) -> int:
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):  # Textual reads one, draws on the other
        raise click.UsageError("the screen needs a terminal; without one, add --headless --steps N")
    from vgrad_tui.launch import run_app

    closed = run_app(config, resumption, record=record, frugal=frugal, ascii=ascii)
    if summary_path is not None:
        closed.summary.write(summary_path)
    lines = [closed.summary.readable(), *closed.words, *filter(None, [closed.detached])]
    Output(sys.stdout, "stdout").write("\n".join(lines) + "\n")  # its terminal may be gone
    return closed.exit_code


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _read_config(source: str | None, config_path: Path | None, flags: dict[str, Any]) -> RunConfig:
    """Only flags that were given count; the rest is the file's, then the default's."""
    from vgrad.config import RunConfig
    from vgrad.run.task_file import require_source

    given = {name: value for name, value in flags.items() if value is not None}
    if source is not None and source.endswith(".toml"):
        if config_path is not None:
            raise click.UsageError(f"two files of settings, {source} and {config_path}: give one")
        config_path = Path(source)
    elif source is not None:
        given["recipe"] = source
    config = RunConfig.make(**given) if config_path is None else RunConfig.read(config_path, **given)
    require_source(config)  # what makes no sense is known before anything starts
    return config


def _parse_options(pairs: tuple[str, ...]) -> dict[str, int | float | bool | str]:
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--set takes KEY=VALUE, got {pair!r}")
        options[key] = parse_scalar(value)
    return options


def parse_scalar(text: str) -> int | float | bool | str:
    """Read a number, ``true``, ``false`` or a quoted string as TOML does; anything else is itself."""
    try:
        values = tomllib.loads(f"value = {text}")
    except ValueError:  # a bare word is no TOML
        return text
    value = values.pop("value")
    is_scalar = isinstance(value, int | float | str) and not values
    return value if is_scalar else text
