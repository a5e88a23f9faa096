"""Write to the terminal only the cells that changed.

Textual redraws the whole width of a widget's dirty rows. Over a slow line that is most of the
traffic, so the cells that the terminal already shows are kept here, and what is drawn is
reduced to the runs of cells that differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

# Moving the cursor costs about this many bytes; shorter gaps are cheaper to write again.
_GAP = 6


class CellDiff:
    """Remembers what the terminal shows, and reduces updates to what differs from it."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._styles: dict[int, list[Style | None]] = {}

    def forget(self) -> None:
        """The terminal may show anything now: everything is written again."""
        self._texts.clear()
        self._styles.clear()

    def reduce(self, update: ChopsUpdate | LayoutUpdate, console: Console) -> str:
        """Return the output for the cells of ``update`` that the terminal does not show yet.

        Empty when it shows them all.
        """
        return "".join(
            self._paint(x, y, segments, console)
            for x, y, segments in (
                _pieces_of_chops(update) if isinstance(update, ChopsUpdate) else _pieces_of_layout(update)
            )
        )

    def _paint(self, x: int, y: int, segments: Iterable[Segment], console: Console) -> str:
        texts: list[str] = []
        styles: list[Style | None] = []
        for text, style, control in segments:
            if control or not text:
                continue
            if text.isascii() or cell_len(text) == len(text):
                texts.extend(text)
            else:
                texts.extend(_cells(text))
            styles.extend([style] * (len(texts) - len(styles)))
        end = x + len(texts)
        shown = self._texts.setdefault(y, [])
        shown_styles = self._styles.setdefault(y, [])
        if len(shown) < end:
            missing = end - len(shown)
            shown.extend([_UNKNOWN] * missing)
            shown_styles.extend([None] * missing)
        if shown[x:end] == texts and shown_styles[x:end] == styles:
            return ""
        changed = [
            index
            for index, (text, style) in enumerate(zip(texts, styles, strict=True), x)
            # A style equals itself, and asking it takes longer than all else here.
            if shown[index] != text or (shown_styles[index] is not style and shown_styles[index] != style)
        ]
        shown[x:end] = texts
        shown_styles[x:end] = styles
        output = []
        for start, stop in _runs(changed):
            # Both halves of a wide character are written together.
            while start > x and shown[start] == "":
                start -= 1
            while stop < end and shown[stop] == "":
                stop += 1
            output.append(Control.move_to(start, y).segment.text)
            output.append(_render(shown, shown_styles, start, stop, console))
        return "".join(output)


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


def _cells(text: str) -> Iterator[str]:
    """One string per cell; the second cell of a wide character is empty."""
    cells: list[str] = []
    for character in text:
        width = cell_len(character)
        if width == 0 and cells:
            cells[-1] += character  # a combining mark belongs to its base
        else:
            cells.append(character)
            cells.extend([""] * (width - 1))
    return iter(cells)


def _runs(indices: list[int]) -> Iterator[tuple[int, int]]:
    """Join neighbouring indices into runs ``[start, stop)``, over short gaps."""
    start = last = indices[0]
    for index in indices[1:]:
        if index - last > _GAP:
            yield start, last + 1
            start = index
        last = index
    yield start, last + 1


def _render(texts: list[str], styles: list[Style | None], start: int, stop: int, console: Console) -> str:
    segments: list[Segment] = []
    begin = start
    for index in range(start + 1, stop + 1):
        if index == stop or styles[index] is not styles[begin]:
            segments.append(Segment("".join(texts[begin:index]), styles[begin]))
            begin = index
    return Strip(segments).render(console)
