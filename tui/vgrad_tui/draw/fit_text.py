"""Cut text to a number of terminal cells, which are not characters: 漢 takes two, an accent none."""

from __future__ import annotations

from rich.cells import cell_len


def fit(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, with ``…`` for its middle where it is longer.

    Layer names begin and end with what tells them apart: ``encoder.layers.11…attn.weight``.
    A wide character that would stick out is left out, so a cut text may be one or two cells
    short of ``width``.

    Args:
        text: One line without control characters (see `vgrad_tui.draw.numbers.safe`).
        width: Cells that there are; nothing fits into 0.
    """
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    tail_cells = (width - 1) // 2
    return f"{_head(text, width - 1 - tail_cells)}…{_tail(text, tail_cells)}"


def _head(text: str, width: int) -> str:
    """The longest beginning that fits, with the accents of its last character."""
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def _tail(text: str, width: int) -> str:
    """The longest ending that fits and does not begin with an accent that lost its letter."""
    start = len(text)
    while start and cell_len(text[start - 1 :]) <= width:
        start -= 1
    while start < len(text) and not cell_len(text[start]):
        start += 1
    return text[start:]
