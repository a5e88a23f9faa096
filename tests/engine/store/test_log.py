"""What a script prints is followed, and shown as a terminal would leave it, with nothing carried out."""

from __future__ import annotations

from pathlib import Path

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
