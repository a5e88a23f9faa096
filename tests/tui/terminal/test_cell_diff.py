"""The terminal shows the same, whatever is left out of what is written."""

from __future__ import annotations

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from vgrad_tui.terminal.cell_diff import CellDiff

WIDTH, HEIGHT = 24, 4
STYLES = [
    Style.parse(words)
    for words in ("red", "bold green on blue", "none", "underline red", "reverse blue", "italic on blue")
]
CONSOLE = Console(color_system="truecolor", width=WIDTH)

row = st.lists(st.sampled_from("ab █⠿漢"), min_size=WIDTH, max_size=WIDTH)
frame = st.lists(
    st.tuples(row, st.lists(st.sampled_from(STYLES), min_size=3, max_size=3)),
    min_size=HEIGHT,
    max_size=HEIGHT,
)


def layout(rows: list[tuple[list[str], list[Style]]]) -> LayoutUpdate:
    strips = []
    for characters, styles in rows:
        third = WIDTH // 3
        segments = [
            Segment("".join(characters[index * third : (index + 1) * third]), style)
            for index, style in enumerate(styles)
        ]
        strips.append([Strip(segments).adjust_cell_length(WIDTH)])
    return LayoutUpdate(strips, Region(0, 0, WIDTH, HEIGHT))


def seen(screen: pyte.Screen) -> list[list[pyte.screens.Char]]:
    """The cells as one sees them: of a blank, unless it is underlined or reversed, the background alone."""
    return [[_seen(screen.buffer[y][x]) for x in range(WIDTH)] for y in range(HEIGHT)]


def _seen(cell: pyte.screens.Char) -> pyte.screens.Char:
    is_bare = cell.data in ("", " ") and not (cell.underscore or cell.reverse)
    return cell._replace(fg="default", bold=False, italics=False) if is_bare else cell


def emulator() -> tuple[pyte.Screen, pyte.Stream]:
    screen = pyte.Screen(WIDTH, HEIGHT)
    return screen, pyte.Stream(screen)


@given(st.lists(frame, min_size=1, max_size=5))
def test_differences_add_up_to_the_last_frame(frames: list[list[tuple[list[str], list[Style]]]]) -> None:
    painter = CellDiff()
    screen, stream = emulator()
    for rows in frames:
        stream.feed(painter.reduce(layout(rows), CONSOLE))
    whole, whole_stream = emulator()
    for y, [strip] in enumerate(layout(frames[-1]).strips):
        whole_stream.feed(f"\x1b[{y + 1};1H{strip.render(CONSOLE)}")
    assert seen(screen) == seen(whole)


@given(frame)
def test_nothing_is_written_when_nothing_changed(rows: list[tuple[list[str], list[Style]]]) -> None:
    painter = CellDiff()
    assert painter.reduce(layout(rows), CONSOLE) != ""
    assert painter.reduce(layout(rows), CONSOLE) == ""
    painter.forget()
    assert painter.reduce(layout(rows), CONSOLE) != ""


def test_one_changed_cell_is_all_that_is_written() -> None:
    rows = [(["a"] * WIDTH, [STYLES[0]] * 3) for _ in range(HEIGHT)]
    painter = CellDiff()
    painter.reduce(layout(rows), CONSOLE)
    rows[2][0][5] = "b"
    output = painter.reduce(layout(rows), CONSOLE)
    assert output.count("b") == 1 and "a" not in output.replace("\x1b", "")


def test_a_look_that_the_terminal_has_already_is_not_written_again() -> None:
    on_blue = [Style.parse("red on blue"), Style.parse("green on blue"), Style.parse("red on blue")]
    rows = [(list("aaaaaaaa        bbbbbbbb"), on_blue) for _ in range(HEIGHT)]
    output = CellDiff().reduce(layout(rows), CONSOLE)
    assert output.count("m") == 2  # one look for all of it, and its end: the blanks are meant to be green
