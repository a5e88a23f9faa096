"""Records of an older version: read as they are, and brought up to date by whoever writes into them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
from tests.engine.store.recorded import notices, record, steps, story

from vgrad.controls.controls import Pause
from vgrad.errors import DataError
from vgrad.events.batch import Batch
from vgrad.events.notices import CommandRejected, Notice, RunEnded, RunStarted
from vgrad.store.database import VERSION, open_to_read, open_to_write
from vgrad.store.folder import RunFolder
from vgrad.store.reader import RunReader
from vgrad.store.writer import Writer

RECORDS = Path(__file__).parent / "records"

_ANSWER = Notice(99, 1e9, 12, 0, CommandRejected(12, Pause(), "no"), "an-id", "somebody")

# The tables as the first version made them.
VERSION_1 = """
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE notices (sequence INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    part INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    is_sealed INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX steps_by_place ON steps (part, first);
CREATE TABLE layers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    part INTEGER NOT NULL, level INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE snapshots (part INTEGER PRIMARY KEY, version INTEGER NOT NULL, data TEXT NOT NULL);
CREATE INDEX layers_by_place ON layers (part, level, first);
PRAGMA application_id = 1986490980;
PRAGMA user_version = 1;
COMMIT;
"""
COLUMNS = {
    "facts": "name, value",
    "notices": "sequence, data",
    "steps": "number, part, first, last, is_sealed, data",
    "layers": "number, part, level, first, last, data",
    "snapshots": "part, version, data",
}


@pytest.fixture
def old(tmp_path: Path) -> RunFolder:
    """A run as the first version recorded it: with the rows of a new one in the tables of then."""
    new = record(RunFolder.create("new"), 120, ("a", "b"), bodies=story(120)[:-1])
    with closing(open_to_write(new.database)) as connection:
        Writer(connection).write(Batch((), (_ANSWER,)))
    folder = RunFolder(tmp_path / "old")
    folder.path.mkdir()
    with closing(sqlite3.connect(folder.database, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        connection.execute("ATTACH ? AS new", (str(new.database),))
        for table, columns in COLUMNS.items():
            connection.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")
    return folder


def version(folder: RunFolder) -> int:
    connection, found = open_to_read(folder.database)
    connection.close()
    return found


def contents(folder: RunFolder) -> tuple[list[int], list[int], dict[str, object]]:
    with RunReader(folder) as reader:
        batch = reader.overview()
        step = np.concatenate([block.step for block in batch.blocks])
        return step.tolist(), [notice.sequence for notice in batch.notices], reader.status()


@pytest.mark.parametrize("kept", sorted(RECORDS.glob("*.sqlite")), ids=lambda path: path.stem)
def test_the_very_bytes_that_an_older_version_wrote_are_read(kept: Path) -> None:
    """They are never made again: another one is put beside them whenever what is written changes."""
    folder = RunFolder.create("old")
    shutil.copy(kept, folder.database)
    with RunReader(folder) as reader:
        batch = reader.take(with_layers=True)
    [block] = batch.blocks
    started = next(notice.body for notice in batch.notices if isinstance(notice.body, RunStarted))
    ended = next(notice.body for notice in batch.notices if isinstance(notice.body, RunEnded))
    assert block.step.tolist() == list(range(1, 9))
    assert block.grad_norms.shape == (8, len(started.info.layers)) and (block.grad_norms > 0).all()
    assert (block.loss[0], block.loss[-1]) == (ended.loss_first, ended.loss_last)
    assert started.info.recipe == "depth-sigmoid" and ended.reason == "done"
    assert contents(folder) == (list(range(1, 9)), [notice.sequence for notice in batch.notices], ANY)


def test_an_old_record_is_read_as_it_is(old: RunFolder) -> None:
    step, sequences, status = contents(old)
    assert step == list(range(1, 121)) and sequences == [0, 1, 2, 99] and status["step"] == 120
    with RunReader(old) as reader:
        assert reader.answer("an-id") == _ANSWER and reader.answer("another") is None
    assert version(old) == 1, "who reads changes nothing"


def test_who_writes_into_an_old_record_brings_it_up_to_date_and_loses_nothing(old: RunFolder) -> None:
    before = contents(old)
    with RunReader(old) as open_meanwhile, closing(open_to_write(old.database)) as connection:
        assert version(old) == VERSION
        assert contents(old) == before
        [more] = notices([(125, CommandRejected(125, Pause(), "no"))], first=100)
        Writer(connection).write(Batch((steps(121, 5, 2),), (more,)))
        assert open_meanwhile.answer("an-id") == _ANSWER, "a reader that was there goes on reading"
        assert sum(map(len, open_meanwhile.take().blocks)) == 125
    with RunReader(old) as reader:
        assert reader.answer("an-id") == _ANSWER
    assert contents(old)[0] == list(range(1, 126))
    with closing(open_to_write(old.database)):
        assert version(old) == VERSION, "once is enough"


@pytest.mark.parametrize("number", [VERSION + 1, 99, 0, -1])
def test_a_newer_version_and_none_are_refused_by_readers_and_writers(old: RunFolder, number: int) -> None:
    with closing(sqlite3.connect(old.database)) as connection:
        connection.execute(f"PRAGMA user_version = {number}")
    for use in (RunReader, lambda folder: open_to_write(folder.database)):
        with pytest.raises(DataError, match="update vgrad" if number > 0 else "no version"):
            use(old)
