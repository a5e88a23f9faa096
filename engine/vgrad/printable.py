"""Text from outside (flags, files, recipes), made safe to print: it may hold terminal control sequences."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with everything that is not plain print written as an escape.

    Control sequences, bidirectional overrides and undecodable bytes come out as ``\x1b``,
    ``\u202e`` and ``\udcff``, so that they neither act on the terminal nor fail to encode.

    Args:
        text: Any text.
        keep: Characters to leave alone besides, such as ``"\n"``.
    """
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
