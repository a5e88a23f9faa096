"""The terminal shows the same, whatever is left out of what is written."""

from __future__ import annotations

import re
import unicodedata

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
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

row = st.lists(st.sampled_from("ab █⠿漢é‖"), min_size=WIDTH, max_size=WIDTH)
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


@pytest.mark.parametrize(
    "sign", ["\u26a0\ufe0f", "\u2764\ufe0f", "漢\u0301", "👩\u200d👩\u200d👧", "e\u0301", "\u0301"]
)
def test_what_follows_a_sign_of_several_characters_is_written_where_it_stands(sign: str) -> None:
    painter = CellDiff()
    before, after = (
        LayoutUpdate(
            [[Strip([Segment(f"{sign} loss {last}")]).adjust_cell_length(WIDTH)]], Region(0, 0, WIDTH, 1)
        )
        for last in "12"
    )
    painter.reduce(before, CONSOLE)
    place = cell_len(f"{sign} loss ") + 1
    assert painter.reduce(after, CONSOLE) == f"\x1b[1;{place}H2"


def test_a_sign_that_the_terminal_draws_in_another_width_moves_nothing_behind_it() -> None:
    screen, stream = emulator()  # to which this sign has one cell; to Rich it has two
    text = "\u26a0\ufe0fone \u26a0\ufe0f two"
    painter = CellDiff()
    for shown in ("x" * WIDTH, text):
        update = LayoutUpdate([[Strip([Segment(shown)]).adjust_cell_length(WIDTH)]], Region(0, 0, WIDTH, 1))
        stream.feed(painter.reduce(update, CONSOLE))
    assert screen.display[0].rstrip() == "\u26a0 one \u26a0  two"


@given(st.text(st.characters(), max_size=WIDTH))
def test_no_control_character_of_a_text_reaches_the_terminal(text: str) -> None:
    update = LayoutUpdate([[Strip([Segment(text)]).adjust_cell_length(WIDTH)]], Region(0, 0, WIDTH, 1))
    output = CellDiff().reduce(update, CONSOLE)
    written = re.sub(r"\x1b\[[\d;]*[Hm]", "", output)
    assert not set(map(unicodedata.category, written)) & {"Cc", "Cs"}
    assert not set(map(unicodedata.bidirectional, written)) & {
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "RLI",
        "LRI",
        "FSI",
    }
    output.encode()


def test_a_look_that_the_terminal_has_already_is_not_written_again() -> None:
    on_blue = [Style.parse("red on blue"), Style.parse("green on blue"), Style.parse("red on blue")]
    rows = [(list("aaaaaaaa        bbbbbbbb"), on_blue) for _ in range(HEIGHT)]
    output = CellDiff().reduce(layout(rows), CONSOLE)
    assert output.count("m") == 2  # one look for all of it, and its end: the blanks are meant to be green
