"""The command that steers a run in another process, and waits for its answer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from vgrad.printable import printable

if TYPE_CHECKING:
    from vgrad.events.notices import Notice
    from vgrad.store.folder import RunFolder

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
RUN may be the beginning of a name. Commands: every control of vgrad-tui controls with a value, and
pause, resume, step, stop, check, reinit SCHEME, undo-reinit, checkpoint, rewind STEP. A run that was
rewound goes on in a folder of its own, and its old name still finds it.
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
    from vgrad.controls.spoken import read_command
    from vgrad.controls.wording import describe
    from vgrad.store import inbox
    from vgrad.store.listing import find_run

    command = read_command(words)
    folder = find_run(run).newest()
    if folder.pid() is None:
        return _not_alive(folder)
    command_id = inbox.send(folder.inbox, command)
    if no_wait:
        click.echo(json.dumps({"command_id": command_id}) if as_json else f"sent: {describe(command)}")
        return 0
    notice = _wait(folder, command_id)
    if notice is None:
        return _not_alive(folder)
    return _show(notice, as_json=as_json)


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


def _wait(folder: RunFolder, command_id: str) -> Notice | None:
    """The answer; None if the run ends without one."""
    from vgrad.store.reader import RunReader

    with RunReader(folder) as reader:
        while True:
            is_alive = folder.pid() is not None
            notice = reader.answer(command_id)
            if notice is not None or not is_alive:
                return notice
            time.sleep(_LOOK_S)


def _not_alive(folder: RunFolder) -> int:
    click.echo(f"{printable(folder.name)} is not alive: see vgrad-tui runs", err=True)
    return _NOT_ALIVE
