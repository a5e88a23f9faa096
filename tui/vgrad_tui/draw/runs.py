"""Runs: the text of one row, in pieces of one role each; and how several fields share a row."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells, set_cell_size

Runs = Sequence[tuple[str, str]]
"""Pieces of text from left to right, each with its role: what it means, not how it looks."""

Field = tuple[int, Runs]
"""A priority, and what stands in the field: the highest priority gets its room first."""

ELLIPSIS = "…"  # where something is missing

_WORDS = re.compile(r"\S+\s*|\s+")  # each with the blanks after it
_GAP = 2  # cells between two fields
_FEWEST_CELLS = 14  # less of a field than this says nothing


def width_of(runs: Runs) -> int:
    """Cells that runs take."""
    return sum(cell_len(text) for text, _ in runs)


def fit_fields(fields: Sequence[Field], width: int, *, cut: bool = False) -> list[tuple[str, str]]:
    """Join the fields that fit into ``width`` cells, in order.

    Args:
        fields: Priority (the highest gets its room first) and runs of each; empty ones are left out.
        width: Cells that there are.
        cut: Whether a field that does not fit is cut short rather than left out.
    """
    left = width
    kept: dict[int, Runs] = {}
    for index, (_, runs) in sorted(enumerate(fields), key=lambda item: -item[1][0]):
        needed = width_of(runs) + (_GAP if kept else 0)
        if runs and needed <= left:
            kept[index] = runs
            left -= needed
        elif runs and cut and left >= _FEWEST_CELLS:
            kept[index] = cut_short(runs, left - (_GAP if kept else 0))
            left = 0
    joined: list[tuple[str, str]] = []
    for index in sorted(kept):
        if joined:
            joined.append((" " * _GAP, "text"))
        joined.extend(kept[index])
    return joined


def cut_short(runs: Runs, width: int) -> list[tuple[str, str]]:
    """As much of the runs as fits, with ``…`` where something is missing."""
    if width_of(runs) <= width:
        return list(runs)
    kept: list[tuple[str, str]] = []
    left = width - 1
    for text, role in runs:
        piece = set_cell_size(text, min(left, cell_len(text)))
        kept.append((piece, role))
        left -= cell_len(piece)
        if left <= 0:
            break
    return [*kept, (ELLIPSIS, "dim")]


def wrapped(runs: Runs, width: int) -> list[Runs]:
    """The same text in rows of at most ``width`` cells, broken between words; in a word that is wider."""
    rows: list[list[tuple[str, str]]] = [[]]
    used = 0
    for text, role in runs:
        words = (piece for word in _WORDS.findall(text) for piece in _pieces(word, width))
        for word in words:
            needed = cell_len(word.rstrip())
            if used and needed and used + needed > width:
                rows.append([])
                used = 0
            rows[-1].append((word, role))
            used += cell_len(word)
    return list(rows)


def _pieces(word: str, width: int) -> list[str]:
    """A word, with the blanks after it, in pieces that fit into a row."""
    return [word] if cell_len(word.rstrip()) <= width else chop_cells(word, max(1, width))


def rule(left: Runs, right: Runs, width: int) -> list[tuple[str, str]]:
    """A section's title row: ``left``, a line, ``right``; the right side goes first when narrow."""
    lead: list[tuple[str, str]] = [("─ ", "dim"), *left, (" ", "dim")]
    tail: list[tuple[str, str]] = [(" ", "dim"), *right, (" ─", "dim")] if right else []
    space = width - width_of(lead) - width_of(tail)
    if space < 1:
        tail, space = [], width - width_of(lead)
    return [*lead, ("─" * max(0, space), "dim"), *tail]
