"""Writes batches of a run's stream into its database: one transaction a batch."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from vgrad.diagnose.worst import worst
from vgrad.events.codec import notice_to_data
from vgrad.events.notices import RunEnded, RunStarted, VerdictChanged
from vgrad.events.rank_stats import write_ranks
from vgrad.events.snapshot_codec import snapshot_to_data
from vgrad.events.step_block import StepBlock
from vgrad.store.columns import pack_block, unpack_block
from vgrad.store.layer_levels import FANOUT, NUM_LEVELS, LayerLevels

if TYPE_CHECKING:
    import sqlite3

    from vgrad.events.batch import Batch
    from vgrad.events.verdict import Verdict

_SEAL_AT = 128  # small chunks of a part, which are then made one large one


class Writer:
    """Writes into one open database. Belongs to the recorder's thread.

    A database that has been written before, until its disk was full, is gone on with.

    Args:
        connection: As `vgrad.store.database.open_to_write` opened it, in autocommit.

    Raises:
        sqlite3.Error: If the database cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._levels: dict[int, LayerLevels] = {}
        [(self._num_snapshots,)] = connection.execute("SELECT coalesce(max(version), 0) FROM snapshots")
        self._unsealed: dict[int, int] = {}
        self._status: dict[str, Any] = {"host": platform.node()}
        for (value,) in connection.execute("SELECT value FROM facts WHERE name = 'status'"):
            self._status |= json.loads(value)
        self._verdicts: dict[int, Verdict] = {}  # the newest of each part
        # Step and loss of each part, and of whichever had the most steps when writing failed.
        self._newest: dict[int | None, dict[str, Any]] = {}
        if "step" in self._status:
            self._newest[None] = {name: self._status[name] for name in ("step", "loss")}

    def write(self, batch: Batch) -> None:
        """Write all of a batch, or, if it raises, nothing of it.

        Raises:
            sqlite3.Error: If the disk is full, the file is gone, or it cannot be written.
        """
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT OR IGNORE INTO notices VALUES (?, ?, ?)",
                [
                    (notice.sequence, json.dumps(notice_to_data(notice)), notice.command_id)
                    for notice in batch.notices
                ],
            )
            for block in batch.blocks:
                self._write_steps(block)
            self._write_snapshots(batch)
            if batch.ranks is not None:
                self._write_fact("ranks", write_ranks(batch.ranks))
            self._write_status(batch)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _write_snapshots(self, batch: Batch) -> None:
        for part, snapshot in batch.snapshots.items():
            self._num_snapshots += 1
            self._connection.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)",
                (part, self._num_snapshots, json.dumps(snapshot_to_data(snapshot))),
            )

    def finish(self) -> None:
        """Write what has waited for more, and fold the log into the file."""
        for part, levels in self._levels.items():
            for level, chunk in levels.flush():
                self._write_layers(part, level, chunk)
            self._seal(part)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _write_steps(self, block: StepBlock) -> None:
        part = block.part
        self._connection.execute(
            "INSERT INTO steps (part, first, last, is_sealed, data) VALUES (?, ?, ?, 0, ?)",
            (part, int(block.step[0]), int(block.step[-1]), pack_block(block, with_layers=False)),
        )
        self._unsealed[part] = self._unsealed.get(part, 0) + 1
        if self._unsealed[part] >= _SEAL_AT:
            self._seal(part)
        if part not in self._levels:
            self._levels[part] = LayerLevels(block.grad_norms.shape[1])
            self._go_on_with_levels(part)
        for level, chunk in self._levels[part].sort(block):
            self._write_layers(part, level, chunk)

    def _go_on_with_levels(self, part: int) -> None:
        """Take over the chunks that the database has of a part.

        Coarse rows that had waited for more when writing failed are taken from the finer levels again.
        """
        levels = self._levels[part]
        query = "SELECT number, level, first, last FROM layers WHERE part = ? ORDER BY number"
        chunks = self._connection.execute(query, (part,)).fetchall()
        written_to = [0] * NUM_LEVELS
        for number, level, first, last in chunks:
            levels.written(level, number, (last - first) // FANOUT**level + 1)
            written_to[level] = last
        chunks.sort(key=lambda chunk: -chunk[1])  # coarse ones first: of one level they are in order
        for number, fine, _, last in chunks:
            if last <= min(written_to[fine + 1 :], default=last):
                continue
            [(data,)] = self._connection.execute("SELECT data FROM layers WHERE number = ?", (number,))
            for level, chunk in levels.sort(unpack_block(data), after=written_to):
                self._write_layers(part, level, chunk)
            written_to[fine + 1 :] = [max(step, last) for step in written_to[fine + 1 :]]

    def _write_layers(self, part: int, level: int, chunk: StepBlock) -> None:
        cursor = self._connection.execute(
            "INSERT INTO layers (part, level, first, last, data) VALUES (?, ?, ?, ?, ?)",
            (part, level, int(chunk.step[0]), int(chunk.step[-1]), pack_block(chunk)),
        )
        number = cursor.lastrowid
        assert number is not None
        for dropped in self._levels[part].written(level, number, len(chunk)):
            self._connection.execute("DELETE FROM layers WHERE number = ?", (dropped,))

    def _seal(self, part: int) -> None:
        """Make one large chunk of the part's small ones that can be joined."""
        rows = self._connection.execute(
            "SELECT number, data FROM steps WHERE part = ? AND is_sealed = 0 ORDER BY number", (part,)
        ).fetchall()
        self._unsealed[part] = 0
        numbers: list[int] = []
        blocks: list[StepBlock] = []
        for number, data in rows:
            block = unpack_block(data)
            if blocks and blocks[-1].kind != block.kind:
                self._join(part, numbers, blocks)
                numbers, blocks = [], []
            numbers.append(number)
            blocks.append(block)
        if blocks:
            self._join(part, numbers, blocks)

    def _join(self, part: int, numbers: list[int], blocks: list[StepBlock]) -> None:
        whole = StepBlock.concatenate(blocks)
        self._connection.executemany("DELETE FROM steps WHERE number = ?", [(n,) for n in numbers])
        self._connection.execute(
            "INSERT INTO steps (number, part, first, last, is_sealed, data) VALUES (?, ?, ?, ?, 1, ?)",
            # The last one's number: a reader that had the small chunks asks for later ones alone.
            (
                numbers[-1],
                part,
                int(whole.step[0]),
                int(whole.step[-1]),
                pack_block(whole, with_layers=False),
            ),
        )

    def _write_status(self, batch: Batch) -> None:
        """Keep where the run stands, for lists of runs: they read this row and nothing else."""
        before = dict(self._status)
        for notice in batch.notices:
            match notice.body:
                case RunStarted(info=info):
                    self._status |= {"recipe": info.recipe, "device": info.device, "started_s": notice.time_s}
                    if info.parent is not None:
                        self._status |= {"parent": asdict(info.parent)}
                case VerdictChanged(verdict=verdict):
                    self._verdicts[notice.part] = verdict
                case RunEnded(reason=reason, error=error):
                    self._status |= {"ended": reason, "error": error, "ended_s": notice.time_s}
        # A run that goes on from another one begins with a verdict that no notice tells.
        self._verdicts |= {n: snapshot.verdict for n, snapshot in batch.snapshots.items() if snapshot.verdict}
        if self._verdicts:
            kind = worst(self._verdicts.values()).kind
            self._status |= {"verdict": None if kind == "starting" else kind}
        for block in batch.blocks:
            record = block.record(-1)
            self._newest[block.part] = {"step": record.step, "loss": record.loss}
        if batch.blocks:  # the part with the most steps, whose numbers the end of the run says as well
            self._status |= max(self._newest.values(), key=itemgetter("step"))
        if self._status != before:
            self._write_fact("status", json.dumps(self._status))

    def _write_fact(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
