"""Numbers keep their column, and outside text stays text."""

from __future__ import annotations

import math
import unicodedata
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vgrad.controls.controls import (
    Command,
    Pause,
    Resume,
    Set,
    StepOnce,
    Stop,
)
from vgrad.controls.wording import describe
from vgrad.methods.clip import ClipGradNorm, ClipGradValue
from vgrad_tui.draw.numbers import SCI_WIDTH, count, duration, number, percent, rate, safe, sci


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.031, "3.1e-2"),
        (1.0, "1.0e0"),
        (9.96, "1.0e1"),
        (0.0, "0"),
        (-0.0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1.4e-45, "1.4e-45"),
        (-1.26e-10, "-1e-10"),
    ],
)
def test_sci_is_short(value: float, text: str) -> None:
    assert sci(value) == text.rjust(SCI_WIDTH)


@given(st.floats())
def test_sci_is_always_seven_wide_and_reads_back(value: float) -> None:
    text = sci(value)
    assert len(text) == SCI_WIDTH
    if 0 < abs(value) < 1e300:
        assert float(text) == pytest.approx(value, rel=0.5)
    elif not math.isfinite(value):
        assert float(text) == value or math.isnan(value)


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (1 / 300, "3.3e-3/s"),
        (0.0, "0.00/s"),
        (0.524, "0.52/s"),
        (9.999, "10/s"),
        (412.3, "412/s"),
        (9999.7, "10k/s"),
        (52_428, "52k/s"),
        (999_600, "1.0M/s"),
        (math.nan, "–/s"),
    ],
)
def test_rate(per_s: float, text: str) -> None:
    assert rate(per_s) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00"),
        (187.9, "00:03:07"),
        (360_000, "100:00:00"),
        (math.nan, "--:--:--"),
        (math.inf, "--:--:--"),
        (-1, "--:--:--"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1284, "1,284"),
        (999_999, "999,999"),
        (1_299_999, "1.2M"),
        (7_000_000_000, "7.0B"),
        (10**15, "1,000.0T"),
        (-1_250_000, "-1.2M"),
    ],
)
def test_count(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (1e-9, "<1 %"), (0.38, "38 %"), (0.9999, ">99 %"), (1.0, "100 %"), (math.nan, "–")],
)
def test_percent_says_nothing_and_everything_only_when_it_is(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.text())
def test_nothing_but_print_gets_through(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert shown == ("".join(each for each in text if not _selects(each)) if text.isprintable() else shown)


def _selects(char: str) -> bool:
    return unicodedata.name(char, "").startswith("VARIATION SELECTOR-") and ord(char) < 0x10000


def test_an_emoji_is_as_wide_as_every_terminal_shows_it() -> None:
    assert safe("GLHF! \U0001f3d6\ufe0f") == "GLHF! \U0001f3d6"
    assert cell_len(safe("\U0001f3d6\ufe0f")) == 1


def test_what_was_hidden_can_be_read() -> None:
    assert safe("a\x1b[2Jb\u202ec\nd\udcff") == r"a\x1b[2Jb\u202ec\nd\udcff"
    assert safe("übersicht.層.weight") == "übersicht.層.weight"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Set("clip", ClipGradNorm(1.0)), "clip norm 1"),
        (Set("clip", ClipGradValue(0.5)), "clip value 0.5"),
        (Set("clip", None), "clip off"),
        (Set("accumulate", 4), "accumulate 4"),
        (Set("lr_scale", 0.5), "lr × 0.5"),
        (Set("lr_scale", math.nan), "lr_scale nan"),
        (Set("centralize", "on"), "centralise"),
        (Set("clip", "zclip:2.5,alpha=0.9"), "clip zclip 2.5 alpha=0.9"),
        (Pause(), "pause"),
        (Resume(), "resume"),
        (StepOnce(), "one step"),
        (Stop(), "stop"),
    ],
)
def test_commands_in_words(command: Command, words: str) -> None:
    assert describe(command) == words


def test_every_command_has_words_of_its_own() -> None:
    made = [kind(*["x"] * len(kind.__dataclass_fields__)) for kind in get_args(Command)]
    words = [describe(command) for command in made]
    assert len(set(words)) == len(words)
    assert not any("(" in text for text in words)  # none fell through to its repr


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.binary()))
def test_nonsense_is_described_without_harm(value: object) -> None:
    for command in (Set("clip", value), Set("accumulate", value), Set("lr_scale", value), value):  # type: ignore[arg-type]
        assert safe(describe(command)) == describe(command)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9999, "1.00"), (1.0, "1.00"), (0.0848, "0.0848"), (412.4, "412"), (-2.5, "-2.50"), (0.0, "0"),
     (3e-3, "3.0e-3"), (12345.0, "1.2e4"), (math.nan, "nan"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_read_plainly_where_they_can(value: float, text: str) -> None:
    assert number(value).strip() == text
    assert len(number(value)) == 7
