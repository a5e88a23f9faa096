"""The command that prints what happens in a run, as lines."""

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING

import click

from vgrad.errors import ConfigError
from vgrad.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vgrad.events.batch import Batch
    from vgrad.events.notices import Notice
    from vgrad.events.step_block import StepBlock
    from vgrad.store.folder import RunFolder
    from vgrad.store.reader import RunReader

_LOOK_S = 0.25  # as often as steps are recorded
_PATIENCE_S = 10.0
_STEP_FIELDS = ("part", "step", "loss", "lr", "grad_norm", "applied_norm", "skipped")


@click.command(
    epilog="""\b
Examples:
  vgrad-tui tail                              the newest run that is alive
  vgrad-tui tail charlm-rnn --follow
  vgrad-tui tail charlm-rnn --json --steps    every step and every event, for scripts
"""
)
@click.argument("run", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.option("--steps", is_flag=True, help="Every step, too: loss, learning rate, gradient norm.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each, for scripts.")
@click.option("--lines", "-n", type=click.IntRange(min=0), help="Only the last N lines of what has happened.")
def tail(run: str | None, follow: bool, steps: bool, as_json: bool, lines: int | None) -> int:
    """Print what happens in a run: commands and their answers, verdicts, validations, its end.

    What happened before, in the runs that it goes on from, comes first. Where it is rewound, --follow goes on
    with the run that follows.
    """
    if sys.stdout is None:  # closed: it would follow the run, in silence, to its end
        raise ConfigError(
            "nothing can be printed, for stdout is closed: give tail a terminal, a file or a pipe"
        )

    from vgrad.events.batch import Batch
    from vgrad.store.ancestry import with_ancestors
    from vgrad.store.ending import with_end
    from vgrad.store.listing import find_run
    from vgrad.store.reader import RunReader

    def lines_of(batch: Batch) -> list[str]:
        return list(_lines(batch, steps=steps, as_json=as_json))

    folder = find_run(run).newest()
    if follow:
        _wait_for_record(folder)
    is_alive = folder.pid() is not None  # asked before the look: the last words are not missed
    with RunReader(folder) as reader:
        batch = with_ancestors(reader.take())
        own = batch if is_alive else with_end(batch, folder)
        so_far = [line for part in (own.before, own) if part is not None for line in lines_of(part)]
        _print(so_far if lines is None else so_far[len(so_far) - min(lines, len(so_far)) :])
        if follow and is_alive:
            _follow(reader, batch, lambda batch: _print(lines_of(batch)))
    while follow and (following := _that_follows(folder)) is not None:
        folder = following
        with RunReader(folder) as reader:
            _follow(reader, Batch(), lambda batch: _print(lines_of(batch)))
    return 0


def _follow(reader: RunReader, so_far: Batch, show: Callable[[Batch], None]) -> None:
    """Show what is new until no process trains the run any more; ``so_far`` has been shown."""
    from vgrad.events.batch import Batch
    from vgrad.store.ending import with_end

    seen, is_alive = so_far, True
    while is_alive:
        is_alive = reader.folder.pid() is not None  # asked before the look: the last words are not missed
        new = reader.take()
        seen = Batch(new.blocks or seen.blocks, new.notices or seen.notices, ranks=new.ranks or seen.ranks)
        show(new)
        if is_alive:
            time.sleep(_LOOK_S)
    ended = with_end(seen, reader.folder)
    show(Batch(notices=ended.notices[len(seen.notices) :]))


def _wait_for_record(folder: RunFolder) -> None:
    """Wait a moment for a run that is just being started."""
    end = time.monotonic() + _PATIENCE_S
    while not folder.database.exists() and time.monotonic() < end:
        time.sleep(_LOOK_S)


def _that_follows(folder: RunFolder) -> RunFolder | None:
    """The folder in which a rewound run goes on, once it has a record; None where there is none."""
    following = folder.successor()
    if following is None:
        return None
    _wait_for_record(following)
    return following if following.database.exists() else None  # its process was killed at that moment


def _print(lines: Sequence[str]) -> None:
    if lines:  # in one piece: their reader is woken once
        click.echo("\n".join(lines))


def _lines(batch: Batch, *, steps: bool, as_json: bool) -> Iterator[str]:
    """Events and steps, in the order of their steps."""
    told = [(notice.step, 0, line) for notice in batch.notices if (line := _event(notice, as_json=as_json))]
    if steps:
        told += [(step, 1, line) for block in batch.blocks for step, line in _steps(block, as_json=as_json)]
        told.sort(key=lambda item: item[:2])
    return (line for _, _, line in told)


def _event(notice: Notice, *, as_json: bool) -> str | None:
    from vgrad.events.codec import notice_to_data
    from vgrad.run.journal import entry_of

    if as_json:
        return json.dumps(notice_to_data(notice))
    entry = entry_of(notice)
    if entry is None:
        return None
    clock = time.strftime("%H:%M:%S", time.localtime(entry.time_s))
    return f"{clock}  step {entry.step:>9,}  {entry.kind:<8}  {printable(entry.line)}"


def _steps(block: StepBlock, *, as_json: bool) -> Iterator[tuple[int, str]]:
    columns = (
        *(block.step, block.loss_known, block.loss, block.lr),
        *(block.grad_norm, block.applied_norm, block.skipped),
    )
    part = f"  part {block.part}" if block.part else ""  # as the journal has it
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for step, is_known, number, lr, grad_norm, applied_norm, skipped in rows:
        loss = number if is_known else None
        if as_json:
            values = (block.part, step, loss, lr, grad_norm, applied_norm, skipped)
            named = dict(zip(_STEP_FIELDS, map(_finite, values), strict=True))
            yield step, json.dumps({"kind": "Step", **named})
        else:
            shown = "–" if loss is None else f"{loss:.6g}"
            yield step, f"{step:>14,}  loss {shown:<12}  lr {lr:<10.4g}  ‖g‖ {grad_norm:<8.4g}{part}".rstrip()


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity: they are texts, as in notices."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
