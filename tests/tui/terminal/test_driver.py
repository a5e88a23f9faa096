from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

import vgrad_tui
from vgrad_tui.terminal.driver import TO_ASCII, wants_ascii


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # Python sets the latter under the former
        ({"LANG": "POSIX"}, True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "en_US.ISO-8859-1"}, True),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "en_US.utf8"}, False),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, False),
        ({"LANG": "C", "LC_CTYPE": "de_DE.UTF-8"}, False),
        ({}, False),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, True),
    ],
)
def test_the_locale_decides(environ: dict[str, str], expected: bool) -> None:
    assert wants_ascii(environ) is expected


def test_every_character_becomes_ascii_of_the_same_width() -> None:
    for code in [*range(0x20, 0x7F), *range(0xA1, 0xAD), *range(0x2190, 0x2C00), 0x6F22, 0x1F600]:
        text = chr(code).translate(TO_ASCII)
        assert text.isascii()
        assert len(text) == cell_len(chr(code)), hex(code)


def test_braille_keeps_its_density() -> None:
    ramp = " .:+*#"
    empty, one, full = (
        "\u2800".translate(TO_ASCII),
        "\u2801".translate(TO_ASCII),
        "\u28ff".translate(TO_ASCII),
    )
    assert ramp.index(empty) < ramp.index(one) < ramp.index(full)


def test_escape_sequences_pass_untouched() -> None:
    sequence = "\x1b[3;4H\x1b[1;31m"
    assert sequence.translate(TO_ASCII) == sequence


def test_every_character_that_the_program_draws_has_an_ascii_form() -> None:
    drawn = {
        character
        for path in Path(vgrad_tui.__file__).parent.rglob("*.py")
        for character in path.read_text(encoding="utf-8")
        if not character.isascii()
    }
    assert drawn
    assert not {character for character in drawn if character.translate(TO_ASCII) == "?"}
