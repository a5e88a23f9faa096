"""What a script prints is followed, and shown as a terminal would leave it, with nothing carried out."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.store.log import LogTail, readable_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("one\ntwo\n", ["one", "two"]),
        ("\r 10%|#  |\r 50%|## |\r100%|###|\nnext", ["100%|###|", "next"]),
        ("half\r", ["half"]),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07plain\x1b[2J", ["red plain"]),
        ("\router 1\n\rinner 1\x1b[A\router 2\n\rinner 2\x1b[A\n\n", ["outer 2", "inner 2"]),
        ("bell\x07 and \x1b", ["bell\\x07 and \\x1b"]),
    ],
)
def test_lines_are_as_a_terminal_would_leave_them(text: str, lines: list[str]) -> None:
    assert readable_lines(text) == lines


@given(st.text(alphabet=st.sampled_from("ab\r\n\t\x1b[]0;mK\x07\x9b\u202e")))
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    assert all(line.isprintable() for line in readable_lines(text))


def test_a_log_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    tail = LogTail(path)
    assert tail.lines() == []
    path.write_bytes(b"one\nha")
    assert tail.lines() == ["one", "ha"]
    with path.open("ab") as file:
        file.write(b"lf\r\xffdone\n")
    assert tail.lines() == ["one", "\ufffddone"]
    path.write_bytes(b"x" * 200_000 + b"\nlast\n")
    assert LogTail(path).lines()[-1] == "last"
    assert tail.lines()[-1] == "last"


@given(
    st.lists(st.sampled_from(["a", "█", "\r", "\n", "\t", "\x1b[31m", "\x1b[A", "\x1b]0;t\x07"])), st.data()
)
def test_lines_do_not_depend_on_when_the_log_is_read(pieces: list[str], data: st.DataObject) -> None:
    written = "".join(pieces).encode()
    cut = data.draw(st.integers(0, len(written)))
    with TemporaryDirectory() as folder:
        path = Path(folder, "log.txt")
        path.write_bytes(written[:cut])
        tail = LogTail(path)
        tail.lines()
        path.write_bytes(written)
        assert tail.lines() == readable_lines(written.decode())


def test_what_is_kept_of_a_long_log_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    tail = LogTail(path)
    for _ in range(20):
        with path.open("a") as file:
            file.write("x\n" * 500 + "." * 5000)
        lines = tail.lines()
    assert len(lines) == 1000
    assert max(map(len, lines)) <= 8192
