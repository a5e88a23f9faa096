"""A stream may fail at any moment, and nobody who writes to it is ended by that."""

from __future__ import annotations

import errno
import io
import os
import pty
from pathlib import Path
from typing import TextIO

from vgrad.run.output import Output


def let_it_close(stream: TextIO) -> None:
    """Closing flushes what could not be written, and would raise again."""
    with Path(os.devnull).open("w", encoding="utf-8") as null:
        os.dup2(null.fileno(), stream.fileno())


def test_what_is_written_arrives_at_once_and_nothing_is_lost() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as reader, os.fdopen(write_end, "w") as writer:
        output = Output(writer, "stdout")
        output.write("one\n")
        assert reader.readline() == "one\n"  # not kept in a buffer
        assert output.lost is None


def test_a_full_disk_is_named_and_no_more_is_written() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        output = Output(stream, "stdout")
        output.write("one")
        output.write("two")
        assert output.lost == f"stdout could not be written: {os.strerror(errno.ENOSPC)}"
        let_it_close(stream)


def test_a_reader_that_goes_away_is_no_exception() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as writer:
        output = Output(writer, "stderr")
        output.write("heard\n")
        os.close(read_end)
        output.write("unheard\n")
        assert output.lost == f"stderr could not be written: {os.strerror(errno.EPIPE)}"
        let_it_close(writer)


def test_no_stream_and_a_closed_one() -> None:
    closed = io.StringIO()
    closed.close()
    for output in (Output(None, "stdout"), Output(closed, "stdout")):
        assert output.lost is None  # nothing was written yet
        output.write("")
        assert output.lost is None
        assert not output.is_redrawable
        assert output.columns == 80
        output.write("text")
        assert output.lost is not None
        assert output.lost.startswith("stdout could not be written: ")


def test_a_terminal_that_has_hung_up_still_has_a_width() -> None:
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        output = Output(stream, "stderr")
        os.close(leader)
        assert output.columns == 80
        output.write("text")
        assert output.lost is not None
        let_it_close(stream)
