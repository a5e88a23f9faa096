"""The SQLite file of a run: its tables, its version, and how it is opened by the writer and by readers.

The write-ahead log lets any number of readers look while one process writes. A reader holds no transaction
open between two looks, since an open one would keep the log from being folded into the file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from vgrad.errors import DataError
from vgrad.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 2
_APPLICATION_ID = 0x76677264  # "vgrd"
_BUSY_S = 5.0

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE notices (sequence INTEGER PRIMARY KEY, data TEXT NOT NULL, command_id TEXT);
CREATE INDEX notices_by_command ON notices (command_id) WHERE command_id IS NOT NULL;
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
"""
# By version, what makes the next version of it.
_MIGRATIONS = {
    1: """
ALTER TABLE notices ADD COLUMN command_id TEXT;
UPDATE notices SET command_id = json_extract(data, '$.command_id') WHERE json_valid(data);
CREATE INDEX notices_by_command ON notices (command_id) WHERE command_id IS NOT NULL;
""",
}
_MARKS = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {VERSION};"


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open the run's database; make its tables where it is new, and bring one of an older version up to date.

    Raises:
        DataError: If the file is of another program or of a newer version.
        sqlite3.Error: If it cannot be opened or written.
    """
    if not path.exists():
        _create(path)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        _migrate(connection, version_of(connection, path))
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit survives kill -9 of this process; only a crash of the whole machine can lose the last ones.
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make a new database; it appears with all its tables, or not at all.

    It has no write-ahead log yet, which would keep its old name: SQLite folds the log into the file when the
    connection closes, but that waits for any holder of a statement, as ``gc.get_objects()`` does in a thread
    that looks for models.
    """
    aside = path.with_name(f".new-{path.name}")
    aside.unlink(missing_ok=True)  # of a process that was killed
    with closing(sqlite3.connect(aside, isolation_level=None)) as connection:
        connection.executescript(f"BEGIN; {_TABLES} {_MARKS} COMMIT;")
    aside.replace(path)


def open_to_read(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open the run's database for reading alone, by one thread at a time.

    Returns:
        The connection, and the version of the database.

    Raises:
        DataError: If there is no such file, or it is of another program, a newer version, or damaged.
    """
    if not path.is_file():
        raise DataError(f"{path.parent.name} has no record: {path.name} is missing")
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
    except sqlite3.Error as error:
        raise DataError(f"{path.parent.name}: {error}") from None
    connection.text_factory = _text
    try:
        version = version_of(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, version


def _text(data: bytes) -> str:
    """Text of the file, which need not be UTF-8 where the file is damaged."""
    return data.decode(errors="replace")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for older in range(version, VERSION):
        connection.executescript(f"BEGIN; {_MIGRATIONS[older]} PRAGMA user_version = {older + 1}; COMMIT;")


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a run's database.

    Raises:
        DataError: If it is of another program or of a newer version, or cannot be read.
    """
    name = printable(path.parent.name)
    try:
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise DataError(f"the record of {name} cannot be read: {error}") from None
    if application != _APPLICATION_ID:
        raise DataError(f"the record of {name} was not written by vgrad")
    if version > VERSION:
        raise DataError(f"the record of {name} was written by a newer vgrad (format {version}): update vgrad")
    if not isinstance(version, int) or version < 1:
        raise DataError(f"the record of {name} has no version")
    return version
