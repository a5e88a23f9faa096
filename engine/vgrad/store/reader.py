"""Reads a run's folder, while it is being written or long after. Any number of processes may read at once.

Every look is a few short queries in autocommit: no transaction stays open between two looks, and the process
that trains never waits for a reader.
"""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from vgrad.errors import DataError, VgradError
from vgrad.events.batch import Batch, LayerNorms, Snapshot
from vgrad.events.codec import notice_from_data
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.events.rank_stats import read_ranks
from vgrad.events.snapshot_codec import snapshot_from_data
from vgrad.events.step_block import StepBlock, joined
from vgrad.store.columns import unpack_block
from vgrad.store.database import open_to_read
from vgrad.store.layer_levels import NUM_LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from vgrad.events.notices import Notice
    from vgrad.events.rank_stats import RankStats
    from vgrad.store.folder import RunFolder

Status = Literal["alive", "finished", "failed", "stopped", "crashed"]
"""``crashed``: the process is gone, and nothing says how it ended."""

ROWS_PER_LEVEL = 512
"""Steps of each level whose norms per layer are in an overview: more than a screen has columns."""
_NEVER = 2**62
_ENDED: dict[object, Status] = {"done": "finished", "failed": "failed", "stopped": "stopped"}


class RunReader:
    """One reader of one run, at its own pace. Use it from one thread at a time.

    As a context manager it closes itself.

    Args:
        folder: The run's folder.

    Raises:
        DataError: If the folder holds no record that can be read.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._connection, self._version = open_to_read(folder.database)
        self._num_notices = 0
        self._read_up_to = {"steps": 0, "layers": 0}  # number of the newest row of each that was read
        self._snapshot_version = 0
        self._ranks: object = None  # as they were read last
        self._last_step: dict[int, int] = {}  # by part
        self._taken: int | None = None  # version of the data that was last taken

    def close(self) -> None:
        """Read no more."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self) -> dict[str, object]:
        """Where the run stands: ``status`` and what is known of ``recipe step loss verdict error …``.

        Raises:
            DataError: If the record is damaged.
        """
        is_alive = self.folder.pid() is not None  # asked first: a run that ends meanwhile has said so by then
        known: dict[str, object] = {}
        for (value,) in self._rows("SELECT value FROM facts WHERE name = 'status'"):
            found = _json(value)
            known = found if isinstance(found, dict) else {}
        status: Status = "alive" if is_alive else _ENDED.get(known.get("ended"), "crashed")
        return {**known, "status": status}

    def take(self, *, with_layers: bool = False) -> Batch:
        """Everything that was recorded since the last call, from the first step on at the first.

        Args:
            with_layers: Give steps with their norms per layer, as far back as those of every step are
                kept. Else all steps come, without those norms; see `steps` and `layers`.

        Raises:
            DataError: If the record is damaged.
        """
        [(version,)] = self._rows("PRAGMA data_version")  # asked first: what comes meanwhile is read again
        if self._taken == version:
            return Batch()  # nothing was written, and one question is cheaper than all
        batch = Batch(
            notices=tuple(self._notices()),
            blocks=tuple(self._blocks("layers" if with_layers else "steps")),
            snapshots=self._snapshots(),
            ranks=self._new_ranks(),
        )
        self._taken = version
        return batch

    def parts(self) -> list[int]:
        """Numbers of the parts that have steps."""
        parts = [part for (part,) in self._rows("SELECT DISTINCT part FROM steps ORDER BY part")]
        if not all(isinstance(part, int) and part >= 0 for part in parts):
            raise DataError("a part of the record has no number")
        return parts

    def overview(self, *, rows_per_level: int = ROWS_PER_LEVEL) -> Batch:
        """The whole history, in a form that is quickly read and folded however long the run.

        All steps come in few blocks, the newest with their norms per layer. Of older steps those norms come
        at each level for ``rows_per_level`` of them, and durations are NaN. What follows is given by `take`
        with layers.

        Raises:
            DataError: If the record is damaged.
        """
        [(newest,)] = self._rows("SELECT coalesce(max(number), 0) FROM layers")
        notices = tuple(self._notices())
        blocks: list[StepBlock] = []
        layer_norms: list[LayerNorms] = []
        for part in self.parts():
            recent = list(_increasing(self._newest_layers(part, 0, newest, rows_per_level)))
            first = int(recent[0].step[0]) if recent else _NEVER
            levels = [
                self._newest_layers(part, level, newest, rows_per_level)
                for level in range(NUM_LEVELS - 1, 0, -1)
            ]
            layer_norms += _merged(part, [_before(block, first) for rows in levels for block in rows])
            blocks += joined(
                [*(_before(block, first) for block in self.steps(part, with_durations=False)), *recent]
            )
            if recent:
                self._last_step[part] = int(recent[-1].step[-1])
        self._read_up_to["layers"] = newest
        norms = tuple(layer_norms)
        return Batch(tuple(blocks), notices, self._snapshots(), layer_norms=norms, ranks=self._new_ranks())

    def _newest_layers(self, part: int, level: int, up_to: int, num: int) -> Sequence[StepBlock]:
        """The newest ``num`` steps of a level, or a few more, oldest first."""
        query = (
            "SELECT data FROM layers WHERE part = ? AND level = ? AND number <= ? ORDER BY first DESC LIMIT ?"
        )
        found: deque[StepBlock] = deque()
        num_rows = 0
        try:
            for (data,) in self._connection.execute(query, (part, level, up_to, num)):
                found.appendleft(_block(data, part))
                num_rows += len(found[0])
                if num_rows >= num:
                    break
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None
        return found

    def steps(self, part: int, *, with_durations: bool = True) -> Iterator[StepBlock]:
        """Yield all steps of a part, without norms per layer, oldest first.

        Args:
            part: Part of the run.
            with_durations: Whether the seconds of each step are wanted, which cost half of the time.

        Raises:
            DataError: If the record is damaged.
        """
        rows = self._rows("SELECT data FROM steps WHERE part = ? ORDER BY number", part)
        yield from _increasing(_block(data, part, with_durations=with_durations) for (data,) in rows)

    def layers(self, part: int, level: int = 0) -> Iterator[StepBlock]:
        """Yield the steps whose norms per layer are kept at a level, oldest first.

        Args:
            part: Part of the run.
            level: 0 for every step of the recent past; each higher one reaches back 16 times as far.

        Raises:
            DataError: If the record is damaged.
        """
        query = "SELECT data FROM layers WHERE part = ? AND level = ? ORDER BY first"
        yield from _increasing(_block(data, part) for (data,) in self._rows(query, part, level))

    def answer(self, command_id: str) -> Notice | None:
        """The notice that says whether a command was applied, or None while there is none.

        Raises:
            DataError: If the record is damaged.
        """
        answers = (CommandApplied, CommandRejected)
        return next((each for each in self.about(command_id) if isinstance(each.body, answers)), None)

    def about(self, command_id: str) -> Iterator[Notice]:
        """Yield all notices that carry the id of a command, oldest first.

        Raises:
            DataError: If the record is damaged.
        """
        is_command = "command_id" if self._version > 1 else "json_extract(data, '$.command_id')"
        query = f"SELECT data FROM notices WHERE {is_command} = ? ORDER BY sequence"  # noqa: S608  # ours
        yield from (_notice(data) for (data,) in self._rows(query, command_id))

    def _notices(self) -> Iterator[Notice]:
        for sequence, data in self._rows(
            "SELECT sequence, data FROM notices WHERE sequence >= ? ORDER BY sequence", self._num_notices
        ):
            yield _notice(data)
            self._num_notices = sequence + 1

    def _blocks(self, table: Literal["steps", "layers"]) -> Iterator[StepBlock]:
        level = "AND level = 0" if table == "layers" else ""
        query = f"SELECT number, part, data FROM {table} WHERE number > ? {level} ORDER BY number"  # noqa: S608  # ours
        for number, part, data in self._rows(query, self._read_up_to[table]):
            block = _block(data, part)
            self._read_up_to[table] = number
            # A large chunk takes the place of small ones, of which some have been read.
            block = _after(block, self._last_step.get(block.part, -1))
            if len(block):
                self._last_step[block.part] = int(block.step[-1])
                yield block

    def _snapshots(self) -> dict[int, Snapshot]:
        query = "SELECT part, version, data FROM snapshots WHERE version > ?"
        found = {}
        for part, version, data in self._rows(query, self._snapshot_version):
            if not isinstance(version, int):
                raise DataError("statistics of the record are of a wrong type")
            found[part] = snapshot_from_data(_json(data))
            self._snapshot_version = max(self._snapshot_version, version)
        return found

    def _new_ranks(self) -> tuple[RankStats, ...] | None:
        """The numbers of all ranks, where they are others than at the last look."""
        for (text,) in self._rows("SELECT value FROM facts WHERE name = 'ranks'"):
            if text != self._ranks:
                self._ranks = text
                return read_ranks(text)
        return None

    def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"the record of {self.folder.name} cannot be read: {error}")


def _increasing(blocks: Iterable[StepBlock]) -> Iterator[StepBlock]:
    """Yield the blocks without the steps that are not after all those before."""
    last = -1
    for block in blocks:
        later = _after(block, last)
        if len(later):
            last = int(later.step[-1])
            yield later


def _after(block: StepBlock, last: int) -> StepBlock:
    return block if block.step[0] > last else block[block.step > last]


def _before(block: StepBlock, first: int) -> StepBlock:
    return block if block.step[-1] < first else block[block.step < first]


def _merged(part: int, blocks: Sequence[StepBlock]) -> Iterator[LayerNorms]:
    """The norms per layer of all steps in ``blocks``, each once and in order."""
    rows: dict[int, NDArray[np.float32]] = {}
    for block in blocks:
        rows.update(zip(block.step.tolist(), block.grad_norms, strict=True))
    steps = sorted(rows)
    for _, group in groupby(steps, key=lambda step: len(rows[step])):
        same = list(group)
        yield LayerNorms(part, np.array(same), np.stack([rows[step] for step in same]))


def _block(data: object, part: object, *, with_durations: bool = True) -> StepBlock:
    if not isinstance(data, bytes):
        raise DataError("a chunk of steps is no data")
    block = unpack_block(data, with_durations=with_durations)
    if block.part != part:
        raise DataError("a chunk of steps is of another part")
    return block


def _notice(data: object) -> Notice:
    try:
        return notice_from_data(_json(data))
    except VgradError as error:
        raise DataError(f"a notice of the record cannot be read: {error}") from None


def _json(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"the record is damaged: {error}") from None
