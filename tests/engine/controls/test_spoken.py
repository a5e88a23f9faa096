"""A command line says every command, and what it cannot say is refused with what there is."""

from __future__ import annotations

import pytest

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.controls import COMMANDS, Reinit, Rewind, Set
from vgrad.controls.spoken import ALONE, WORDS, read_command
from vgrad.controls.wording import describe, describe_refusal
from vgrad.errors import ConfigError


def test_every_command_can_be_said() -> None:
    said = {
        type(read_command([word]))
        for word in WORDS
        if word not in {"reinit", "rewind"} and word.replace("-", "_") not in CONTROLS
    }
    assert said | {Set, Reinit, Rewind} == set(COMMANDS.values())
    assert read_command(["reinit", "xavier"]) == Reinit("xavier")
    assert read_command(["rewind", "1,200"]) == Rewind(1200)


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_can_be_set_by_its_text(name: str) -> None:
    control = CONTROLS[name]
    text = "0.5" if not hasattr(control, "words") else control.words[0]
    value = control.read(text)
    assert read_command([name.replace("_", "-"), control.format(value)]) == Set(name, value)
    assert read_command([name, control.format(value)]) == Set(name, value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to do"),
        (["pause", "now"], "stands alone"),
        (["clipp", "norm:1"], "clip"),
        (["clip"], "one value"),
        (["clip", "norm:1", "2"], "one value"),
        (["clip", "banana"], "banana"),
        (["reinit"], "one value"),
        (["rewind", "-3"], "number of a step"),
        (["rewind", "9" * 99], "number of a step"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_command(words)


@pytest.mark.parametrize("word", ALONE)
def test_a_refusal_names_its_command_once(word: str) -> None:
    command = ALONE[word]
    assert describe_refusal(command, f"{word}: not here") == f"{word}: not here"
    assert describe_refusal(command, f"{describe(command)}: not here") == f"{describe(command)}: not here"
    assert describe_refusal(command, "not here") == f"{describe(command)}: not here"
