"""Write to the terminal only the cells that changed.

Textual redraws the whole width of a widget's dirty rows. Over a slow line that is most of the
traffic, so the cells that the terminal already shows are kept here, and what is drawn is
reduced to the runs of cells that differ. No control character of a text is ever written: whatever
a name or a message from outside holds, it is shown and never carried out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rich.cells import split_graphemes
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import Segment
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate

from vgrad_tui.terminal.pen import PLAIN, Look, Pen, look_of

# Moving the cursor costs about this many bytes; shorter gaps are cheaper to write again.
_GAP = 6

# Characters of one cell each that no other character joins: ASCII, Latin, arrows, lines, blocks and braille.
_SINGLE_CELLS = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027\u2190-\u22ff\u2500-\u25fc\u2800-\u28ff]*"
)
# What a terminal carries out rather than shows: control characters and marks of the writing direction.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")  # halves of characters, which cannot be encoded


class CellDiff:
    """Remembers what the terminal shows, and reduces updates to what differs from it."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._looks: dict[int, list[Look]] = {}

    def forget(self) -> None:
        """The terminal may show anything now: everything is written again."""
        self._texts.clear()
        self._looks.clear()

    def reduce(self, update: ChopsUpdate | LayoutUpdate, console: Console) -> str:
        """Return the output for the cells of ``update`` that the terminal does not show yet.

        Empty when it shows them all.
        """
        colors = COLOR_SYSTEMS[console.color_system] if console.color_system else ColorSystem.TRUECOLOR
        pen = Pen()
        pieces = _pieces_of_chops(update) if isinstance(update, ChopsUpdate) else _pieces_of_layout(update)
        output = [text for x, y, segments in pieces for text in self._paint(x, y, segments, colors, pen)]
        return "".join((*output, pen.put_down()))

    def _paint(
        self, x: int, y: int, segments: Iterable[Segment], colors: ColorSystem, pen: Pen
    ) -> Iterator[str]:
        texts: list[str] = []
        looks: list[Look] = []
        for text, style, control in segments:
            if control or not text:
                continue
            if _SINGLE_CELLS.fullmatch(text):
                texts.extend(text)
            else:
                texts.extend(_cells(text))
            looks.extend([look_of(style, colors)] * (len(texts) - len(looks)))
        end = x + len(texts)
        shown = self._texts.setdefault(y, [])
        shown_looks = self._looks.setdefault(y, [])
        if len(shown) < end:
            missing = end - len(shown)
            shown.extend([_UNKNOWN] * missing)
            shown_looks.extend([PLAIN] * missing)
        if shown[x:end] == texts and shown_looks[x:end] == looks:
            return
        changed = [
            index
            for index, (text, look) in enumerate(zip(texts, looks, strict=True), x)
            if shown[index] != text or (shown_looks[index] is not look and shown_looks[index] != look)
        ]
        shown[x:end] = texts
        shown_looks[x:end] = looks
        for start, stop in _runs(changed):
            # Both halves of a wide character are written together.
            while start > x and shown[start] == "":
                start -= 1
            while stop < end and shown[stop] == "":
                stop += 1
            for first, last in _stretches(shown, start, stop):
                yield from _write_at(y, shown, shown_looks, first, last, pen)


class ChangedCells(CompositorUpdate):
    """What is written to the terminal for one update, worked out already.

    Args:
        text: The output.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The output as one segment: what makes this a Rich renderable."""
        yield Segment(self._text)

    def render_segments(self, console: Console) -> str:
        """The output."""
        return self._text


_UNKNOWN = "\0"  # no cell ever shows this, so it differs from all


def _pieces_of_chops(update: ChopsUpdate) -> Iterator[tuple[int, int, Iterable[Segment]]]:
    """Position and segments of every strip that an update of parts draws.

    An update lists whole rows, cut where widgets begin and end, but only the pieces that its spans touch
    are what the screen shows: in the others the neighbour was not rendered, and they hold the
    background of the container behind it.
    """
    for y, first, stop in update.spans:
        for (x, strip), end in zip(update.chops[y].items(), update.chop_ends[y], strict=True):
            if strip is not None and x < stop and end > first:
                yield x, y, strip


def _pieces_of_layout(update: LayoutUpdate) -> Iterator[tuple[int, int, Iterable[Segment]]]:
    """Position and segments of every row that an update of the whole screen draws."""
    for y, strips in enumerate(update.strips, update.region.y):
        yield update.region.x, y, [segment for strip in strips for segment in strip]


def _cells(text: str) -> list[str]:
    """One string per cell, as many as Rich counts; the second cell of a wide character is empty.

    A cell holds all that is drawn on it: a letter and its accents, a sign and the mark that makes it emoji.
    """
    cells: list[str] = []
    for start, end, width in split_graphemes(text)[0]:
        if width:  # else it belongs to a character that another segment has
            shown = _SURROGATES.sub("\ufffd", _CONTROLS.sub("", text[start:end]))
            cells += [shown or " ", *[""] * (width - 1)]
    return cells


def _runs(indices: list[int]) -> Iterator[tuple[int, int]]:
    """Join neighbouring indices into runs ``[start, stop)``, over short gaps."""
    start = last = indices[0]
    for index in indices[1:]:
        if index - last > _GAP:
            yield start, last + 1
            start = index
        last = index
    yield start, last + 1


def _stretches(texts: list[str], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut ``[start, stop)`` before and after every sign that is made of several characters.

    Terminals disagree on how wide these are: each is written by itself, and the cursor is placed behind it.
    """
    if max(map(len, texts[start:stop])) > 1:
        begins = [index for index in range(start + 1, stop) if texts[index]]  # not within a wide character
        for index in begins:
            if len(texts[index]) > 1 or len(texts[index - 1] or texts[index - 2]) > 1:
                yield start, index
                start = index
    yield start, stop


def _write_at(y: int, texts: list[str], looks: list[Look], start: int, stop: int, pen: Pen) -> Iterator[str]:
    """The output for the cells ``start`` to ``stop - 1`` of row ``y``, which `_stretches` gave."""
    place = Control.move_to(start, y).segment.text
    if len(texts[start]) > 1:  # where the sign is drawn narrower, nothing old may stay beside it
        yield place + pen.write(" " * (stop - start), looks[start])
    yield place
    yield from _write(texts, looks, start, stop, pen)


def _write(texts: list[str], looks: list[Look], start: int, stop: int, pen: Pen) -> Iterator[str]:
    """The output for the cells ``start`` to ``stop - 1``, piece by piece of one look each."""
    begin = start
    for index in range(start + 1, stop + 1):
        if index == stop or looks[index] is not looks[begin]:
            yield pen.write("".join(texts[begin:index]), looks[begin])
            begin = index
