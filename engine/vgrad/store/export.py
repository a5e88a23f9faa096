"""A recorded run as rows for other programs: every step and event, in plain text that acts on nothing.

Names and messages come from the author of the model. Control characters and escape sequences are written
out, and in CSV a text that a spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import json
import math
from collections import deque
from typing import TYPE_CHECKING

from vgrad.controls.wording import describe, describe_refusal
from vgrad.events.codec import notice_to_data
from vgrad.events.notices import CommandApplied, CommandRejected, LayersChanged, RunStarted, VerdictChanged
from vgrad.printable import printable
from vgrad.store.ancestry import with_ancestors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from vgrad.events.batch import Batch
    from vgrad.events.notices import Notice
    from vgrad.store.reader import RunReader

STEP_COLUMNS = ("loss", "lr", "grad_norm", "applied_norm", "elapsed_s", "skipped")
COLUMNS = ("kind", "part", "step", *STEP_COLUMNS, "time_s", "sender", "text")
LAYER_COLUMNS = ("kind", "part", "step", "layer", "grad_norm")
_ALL = 2**31  # rows of each level
_FORMULA = ("=", "+", "-", "@")

Row = dict[str, object]


def rows_of(reader: RunReader) -> Iterator[Row]:
    """Yield every step and every event of a run, and before them those of the runs that it goes on from.

    They come in the order of their steps.

    Args:
        reader: A new reader of the run.

    Raises:
        DataError: If the record is damaged.
    """
    batch = with_ancestors(reader.take())
    if batch.before is not None:
        yield from _rows_in(batch.before)
    yield from _rows_in(batch)


def _rows_in(batch: Batch) -> Iterator[Row]:
    waiting = deque(batch.notices)
    for block in sorted(batch.blocks, key=lambda block: int(block.step[0])):
        for record in block.records():
            # An event belongs before its step: a command affects that one first.
            while waiting and waiting[0].step <= record.step:
                yield _event(waiting.popleft())
            values = {name: getattr(record, name) for name in STEP_COLUMNS}
            yield {"kind": "step", "part": record.part, "step": record.step, **values}
    yield from map(_event, waiting)


def layer_rows_of(reader: RunReader) -> Iterator[Row]:
    """Yield the norms per layer that are kept: of every step of the recent past, of some of the old.

    Raises:
        DataError: If the record is damaged.
    """
    whole = with_ancestors(reader.overview(rows_per_level=_ALL), rows_per_level=_ALL).flattened()
    names = {
        notice.part: notice.body.info.layers
        for notice in whole.notices
        if isinstance(notice.body, RunStarted | LayersChanged)
    }
    known = [(norms.part, norms.step, norms.grad_norms) for norms in whole.layer_norms]
    known += [(block.part, block.step, block.grad_norms) for block in whole.blocks]
    for part, steps, norms in known:
        layers = names.get(part, ())
        if norms.shape[1] != len(layers):
            continue
        for step, row in zip(steps.tolist(), norms.tolist(), strict=True):
            for layer, norm in zip(layers, row, strict=True):
                yield {
                    "kind": "layer",
                    "part": part,
                    "step": step,
                    "layer": printable(layer),
                    "grad_norm": norm,
                }


def write_csv(rows: Iterable[Row], columns: tuple[str, ...], stream: TextIO) -> None:
    """Write rows as CSV with a heading; NaN and infinities are ``nan`` and ``inf``."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])


def write_jsonl(rows: Iterable[Row], stream: TextIO) -> None:
    """Write rows as a line of JSON each; JSON has no NaN and no infinity, so they are texts."""
    stream.writelines(json.dumps({name: _json(value) for name, value in row.items()}) + "\n" for row in rows)


def _event(notice: Notice) -> Row:
    match notice.body:
        case CommandApplied(command=command):
            text = describe(command)
        case CommandRejected(command=command, reason=reason):
            text = describe_refusal(command, reason)
        case VerdictChanged(verdict=verdict):
            text = f"{verdict.kind}: {verdict.evidence}"
        case _:
            text = json.dumps(notice_to_data(notice)["body"])
    return {
        "kind": type(notice.body).__name__,
        "part": notice.part,
        "step": notice.step,
        "loss": getattr(notice.body, "loss", None),  # of a validation
        "time_s": notice.time_s,
        "sender": None if notice.sender is None else printable(notice.sender),
        "text": printable(text),
    }


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.startswith(_FORMULA) else value


def _json(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
