"""The command that prints what happens in a run, as lines."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

import click

from vgrad.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vgrad.events.batch import Batch
    from vgrad.events.notices import Notice
    from vgrad.events.step_block import StepBlock

_LOOK_S = 0.1
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
    """Print what happens in a run: commands and their answers, verdicts, validations, its end."""
    from vgrad.store.listing import find_run
    from vgrad.store.reader import RunReader

    folder = find_run(run).newest()
    with RunReader(folder) as reader:
        is_alive = folder.pid() is not None
        so_far = list(_lines(reader.take(), steps=steps, as_json=as_json))
        _print(so_far if lines is None else so_far[len(so_far) - min(lines, len(so_far)) :])
        while follow and is_alive:
            time.sleep(_LOOK_S)
            is_alive = (
                folder.pid() is not None
            )  # asked before the look, so that the last words are not missed
            _print(list(_lines(reader.take(), steps=steps, as_json=as_json)))
    return 0


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(line)


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
    return f"{clock}  step {entry.step:>9,}  {entry.kind:<8}  {printable(entry.text)}"


def _steps(block: StepBlock, *, as_json: bool) -> Iterator[tuple[int, str]]:
    for record in block.records():
        if as_json:
            values = {name: getattr(record, name) for name in _STEP_FIELDS}
            yield record.step, json.dumps({"kind": "Step", **{n: _finite(v) for n, v in values.items()}})
        else:
            loss = "–" if record.loss is None else f"{record.loss:.6g}"
            numbers = f"loss {loss:<12}  lr {record.lr:<10.4g}  ‖g‖ {record.grad_norm:.4g}"
            yield record.step, f"{record.step:>14,}  {numbers}"


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity: they are texts, as in notices."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
