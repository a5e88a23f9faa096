"""The command that steers a run in another process, and waits for its answer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, TypeVar

import click

from vgrad.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.events.notices import GradientsChecked, Notice
    from vgrad.store.folder import RunFolder
    from vgrad.store.reader import RunReader

_T = TypeVar("_T")

_REFUSED = 4
_NOT_ALIVE = 5
_LOOK_S = 0.02


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  vgrad-tui send charlm-rnn-1127-031500 clip norm:1
  vgrad-tui send charlm-rnn lr-scale 0.5
  vgrad-tui send charlm-rnn pause
  vgrad-tui send charlm-rnn reinit xavier
  vgrad-tui send charlm-rnn checkpoint
  vgrad-tui send charlm-rnn rewind 1200
  vgrad-tui send charlm-rnn stop --no-wait

\b
RUN may be the beginning of a name; of several such runs, the one that is alive. Commands: every control
of vgrad-tui controls with a value, and pause, resume, step, stop, check, reinit SCHEME, undo-reinit,
checkpoint, rewind STEP. A run that was rewound goes on in a folder of its own, and its old name still
finds it.
--json prints one object, whose "kind" is CommandApplied, CommandRejected or NotAlive.
Exit codes: 0 applied, 2 bad usage, 4 refused, 5 the run is not alive.
""",
)
@click.argument("run")
@click.argument("words", nargs=-1, required=True, metavar="COMMAND [VALUE]")
@click.option("--no-wait", is_flag=True, help="Do not wait for the answer.")
@click.option("--json", "as_json", is_flag=True, help="The answer as one line of JSON.")
def send(run: str, words: tuple[str, ...], no_wait: bool, as_json: bool) -> int:
    """Send a command to a run, and say what became of it.

    Waits for as long as the run's current step takes; a run that has ended answers nothing.
    """
    from vgrad.controls.controls import CheckGradients
    from vgrad.controls.spoken import read_command
    from vgrad.controls.wording import describe
    from vgrad.store import inbox
    from vgrad.store.listing import find_run
    from vgrad.store.reader import RunReader

    command = read_command(words)
    folder = find_run(run).newest()
    if folder.pid() is None:
        return _not_alive(folder, as_json=as_json)
    command_id = inbox.send(folder.inbox, command)
    if no_wait:
        click.echo(json.dumps({"command_id": command_id}) if as_json else f"sent: {describe(command)}")
        return 0
    with RunReader(folder) as reader:
        notice = _wait(folder, lambda: reader.answer(command_id))
        if notice is None:
            return _not_alive(folder, as_json=as_json)
        code = _show(notice, as_json=as_json)
        if isinstance(command, CheckGradients) and code == 0 and not as_json:
            _show_check(_wait(folder, lambda: _check(reader, command_id)))
    return code


def _show(notice: Notice, *, as_json: bool) -> int:
    from vgrad.controls.wording import describe
    from vgrad.events.codec import notice_to_data
    from vgrad.events.notices import CommandApplied, CommandRejected

    if as_json:
        click.echo(json.dumps(notice_to_data(notice)))
    match notice.body:
        case CommandApplied(step=step, command=applied) if not as_json:
            click.echo(f"{printable(describe(applied))} @ {step:,}")
        case CommandRejected(reason=reason):
            click.echo(f"refused: {printable(reason)}", err=True)
            return _REFUSED
    return 0


def _check(reader: RunReader, command_id: str) -> GradientsChecked | None:
    """What a gradient check has found; it is recorded right after the answer."""
    from vgrad.events.notices import GradientsChecked

    found = (each.body for each in reader.about(command_id))
    return next((body for body in found if isinstance(body, GradientsChecked)), None)


def _show_check(checked: GradientsChecked | None) -> None:
    if checked is not None:
        click.echo(printable(checked.check.words()))


def _wait(folder: RunFolder, look: Callable[[], _T | None]) -> _T | None:
    """What ``look`` finds in the record; None if the run ends before it finds anything."""
    while True:
        is_alive = folder.pid() is not None  # asked first: what was recorded before the end is found
        found = look()
        if found is not None or not is_alive:
            return found
        time.sleep(_LOOK_S)


def _not_alive(folder: RunFolder, *, as_json: bool) -> int:
    reason = f"{folder.name} is not alive: see vgrad-tui runs"
    if as_json:
        click.echo(json.dumps({"kind": "NotAlive", "run": folder.name, "reason": reason}))
    click.echo(printable(reason), err=True)
    return _NOT_ALIVE
