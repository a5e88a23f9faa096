"""Commands for a run in another process: written by those who steer, read by the process that trains.

The answer to a command is a notice in the run's record, found by the command's id.
"""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.controls.codec import command_from_data, command_to_data
from vgrad.errors import DataError, VgradError
from vgrad.events.notices import new_command_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vgrad.controls.controls import Command

_BUSY_S = 5.0
_MOST_AT_ONCE = 1000
_LONGEST_SENDER = 80
_TABLE = (
    "CREATE TABLE IF NOT EXISTS commands"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, time_s REAL, sender TEXT, command TEXT)"
)


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A command that somebody has sent to a run.

    Attributes:
        command_id: Its id, which the answer will carry.
        time_s: When it was asked for, Unix time in seconds.
        sender: Who asked, as they call themselves: text from outside.
        command: The command, or None where its text makes no sense.
        problem: Why it makes no sense.
    """

    command_id: str
    time_s: float
    sender: str
    command: Command | None
    problem: str = ""


def send(path: Path, command: Command, *, sender: str | None = None, command_id: str | None = None) -> str:
    """Ask for ``command`` by way of the inbox at ``path``, and return the command's id.

    Raises:
        DataError: If the inbox cannot be written.
    """
    command_id = command_id or new_command_id()
    row = (command_id, time.time(), sender or _who(), json.dumps(command_to_data(command)))
    try:
        with closing(_open(path)) as connection:
            connection.execute("INSERT INTO commands (id, time_s, sender, command) VALUES (?, ?, ?, ?)", row)
    except sqlite3.Error as error:
        raise DataError(f"the command cannot be sent to {path.parent.name}: {error}") from None
    return command_id


class Inbox:
    """The receiving end. Belongs to one thread of the process that trains.

    Args:
        path: The inbox; made if it is not there.
        since_s: Commands that were sent before it, Unix time in seconds, are left unread: they were meant
            for a process that has ended.

    Raises:
        sqlite3.Error: If it cannot be opened or made.
    """

    def __init__(self, path: Path, *, since_s: float = 0.0) -> None:
        self._connection = _open(path)
        self._since_s = since_s
        self._seen = 0
        self._version: int | None = None

    def take(self) -> Iterator[SentCommand]:
        """Yield the commands that are new, oldest first.

        Raises:
            sqlite3.Error: If the inbox cannot be read.
        """
        version = self._data_version()
        if version == self._version:
            return  # nobody has written: this look cost some microseconds
        rows = self._connection.execute(
            "SELECT number, id, time_s, sender, command FROM commands"
            " WHERE number > ? ORDER BY number LIMIT ?",
            (self._seen, _MOST_AT_ONCE),
        ).fetchall()
        if len(rows) < _MOST_AT_ONCE:
            self._version = version  # else there are more
        for number, command_id, time_s, sender, text in rows:
            self._seen = number
            sent = _read(command_id, time_s, sender, text)
            if sent.time_s >= self._since_s:
                yield sent

    def close(self) -> None:
        """Read no more."""
        self._connection.close()

    def _data_version(self) -> int:
        [version] = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    connection.text_factory = _text
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(_TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _text(data: bytes) -> str:
    return data.decode(errors="replace")  # another program may have written anything


def _read(command_id: object, time_s: object, sender: object, text: object) -> SentCommand:
    """Read a row that another program may have written."""
    known_id = command_id if isinstance(command_id, str) else new_command_id()
    when = time_s if isinstance(time_s, float) else time.time()
    who = sender[:_LONGEST_SENDER] if isinstance(sender, str) else "?"
    try:
        command = command_from_data(json.loads(text)) if isinstance(text, str) else None
    except (ValueError, RecursionError, VgradError) as error:
        return SentCommand(known_id, when, who, None, str(error))
    return SentCommand(known_id, when, who, command, "" if command is not None else "the command is no text")


def _who() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that no account has
        name = str(os.getuid())
    return f"{name}@{os.environ.get('SSH_CLIENT', 'here').partition(' ')[0]}"
