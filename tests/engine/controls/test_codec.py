"""What is written as plain data is read back as what it was, and nothing else is read."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine import settings as every

from vgrad.controls import codec
from vgrad.controls.capabilities import Capabilities, in_any_loop
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.controls import COMMANDS, Command, Controls, Reinit, Set
from vgrad.errors import ConfigError
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.freeze import Freeze


def sent(data: object) -> Any:
    """What arrives at another process."""
    return json.loads(json.dumps(data, allow_nan=False))


@given(every.commands)
def test_a_command_comes_back_as_what_it_was(command: Command) -> None:
    assert codec.command_from_data(sent(codec.command_to_data(command))) == command
    assert codec.command_from_data(sent(codec.command_to_data(command)), refused=True) == command


@given(every.controls)
def test_controls_come_back_as_what_they_were(controls: Controls) -> None:
    assert codec.controls_from_data(sent(codec.controls_to_data(controls))) == controls


@given(every.capabilities)
def test_capabilities_come_back_as_what_they_were(capabilities: Capabilities) -> None:
    assert codec.capabilities_from_data(sent(codec.capabilities_to_data(capabilities))) == capabilities


@given(every.settings)
def test_the_text_of_a_value_is_read_back_as_that_value(command: Set) -> None:
    control = CONTROLS[command.control]
    text = control.format(command.value)
    assert control.read(text) == command.value
    assert control.format(control.read(text)) == text


@pytest.mark.parametrize(
    "patterns",
    [
        *("a\u202eb", "a,b", 'a"b', '"', '"a"', "a=b", "patterns=a", " a ", "off", "layers:a", "β ∂", "\n a"),
        *("a\\", '"a,b', "[a,b]"),
    ],
)
def test_a_pattern_of_any_characters_is_read_back(patterns: str) -> None:
    value = Freeze(patterns)
    control = CONTROLS["freeze"]
    assert control.read(control.format(value)) == value
    assert Controls(freeze=control.format(value)).freeze == value  # type: ignore[arg-type]
    assert control.format(value).isprintable()


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("a,b", "a,b"),
        ("layers:a,b", "a,b"),
        ("layers:patterns=a,b", "a,b"),
        ('layers:"a,b"', "a,b"),
        ('layers:patterns="a=b"', "a=b"),
        ("embed rnn.*", "embed rnn.*"),
    ],
)
def test_one_text_parameter_needs_no_quotes(text: str, patterns: str) -> None:
    assert CONTROLS["freeze"].read(text) == Freeze(patterns)


def test_a_quote_must_end() -> None:
    with pytest.raises(ConfigError, match="quote"):
        CONTROLS["freeze"].read('layers:"a,b')


def test_what_was_refused_keeps_its_nonsense_as_text() -> None:
    for command, written in (
        (Set("tempo", "x"), Set("tempo", "x")),
        (Set("clip", 3.0), Set("clip", "3.0")),
        (Set("clip", "norm:1"), Set("clip", ClipGradNorm(1.0))),
        (Reinit("hh"), Reinit("hh")),
    ):
        data = sent(codec.command_to_data(command))
        assert codec.command_from_data(data, refused=True) == written


WRONG: list[object] = [
    None,
    3,
    "set",
    [],
    {},
    {"version": 1},
    {"version": 2, "command": "pause"},
    {"version": True, "command": "pause"},
    {"command": "pause"},
    {"version": 1, "command": "dance"},
    {"version": 1, "command": ["pause"]},
    {"version": 1, "command": "pause", "value": "1"},
    {"version": 1, "command": "set", "control": "clip"},
    {"version": 1, "command": "set", "control": "tempo", "value": "1"},
    {"version": 1, "command": "set", "control": "clip", "value": "nrom:1"},
    {"version": 1, "command": "set", "control": "clip", "value": 3},
    {"version": 1, "command": "set", "control": None, "value": "off"},
    {"version": 1, "command": "reinit", "scheme": 3},
    {1: 2},
]


@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_what_is_no_command_is_refused(data: object) -> None:
    with pytest.raises(ConfigError):
        codec.command_from_data(data)


KEYS = ("version", "command", "control", "value", "scheme", "paused", "refusals")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["version", "command", "control", "value", "scheme", "paused", "refusals", *CONTROLS]
        ),
        st.sampled_from([1, "set", "reinit", "clip", "norm:1", "freeze", *COMMANDS]) | JSON,
        max_size=4,
    )
    | JSON
)
def test_whatever_another_program_wrote_is_read_or_refused(data: object) -> None:
    for read in (codec.command_from_data, codec.controls_from_data, codec.capabilities_from_data):
        with contextlib.suppress(ConfigError):
            read(data)  # type: ignore[operator]


def test_controls_of_another_version_or_control_are_refused() -> None:
    for data in (
        {"version": 2},
        {"version": 1, "tempo": "1"},
        {"version": 1, "clip": 3},
        {"version": 1, "paused": 1},
    ):
        with pytest.raises(ConfigError):
            codec.controls_from_data(data)
    assert codec.controls_from_data({"version": 1}) == Controls()
    assert codec.capabilities_from_data(sent(codec.capabilities_to_data(in_any_loop()))) == in_any_loop()
