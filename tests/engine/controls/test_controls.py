from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.settings import commands
from tests.engine.toys import toy_trainer

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.controls import (
    Command,
    Controls,
    Pause,
    Set,
    StepOnce,
    Stop,
    as_applied,
    reduce,
)
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.methods.accumulate import MAX_STEPS, MeanOver, SumOver
from vgrad.methods.clip import ClipGradNorm, ClipGradValue

NOT_POSITIVE = [
    math.nan,
    math.inf,
    -math.inf,
    -1.0,
    0,
    0.0,
    5e-324,
    1e-310,
    True,
    False,
    "one",
    None,
    10**1000,
    int("9" * 4000),
]
NOT_A_COUNT = [*NOT_POSITIVE, 1.5, -3, MAX_STEPS + 1, [4]]


@given(st.lists(commands, max_size=8))
def test_the_same_journal_gives_the_same_controls(journal: list[Command]) -> None:
    first = second = Controls()
    for command in journal:
        before = first
        try:
            first = reduce(first, command)
        except ConfigError as refusal:  # it does not go with the others, and changes nothing
            with pytest.raises(ConfigError, match=re.escape(str(refusal))):
                reduce(second, command)
            continue
        assert before == second, "reduce changed the controls it was given"
        second = reduce(second, command)
    assert first == second


@given(commands)
def test_a_command_touches_only_what_it_names(command: Command) -> None:
    before = Controls(clip=ClipGradValue(3.0), accumulate=MeanOver(7), lr_scale=0.125)
    after = reduce(before, command)
    changed = {name for name in before.__slots__ if getattr(before, name) != getattr(after, name)}
    match command:
        case Set(control=name, value=value):
            assert changed <= {name}
            assert getattr(after, name) == value
        case Pause() | StepOnce():
            assert changed == {"paused"}
        case _:
            assert not changed


@given(commands)
def test_what_was_set_survives_being_written_down(command: Command) -> None:
    if isinstance(command, Set):
        control = CONTROLS[command.control]
        text = control.format(command.value)
        assert control.read(text) == command.value
        assert control.format(control.read(text)) == text
        assert (
            as_applied(Set(command.control, text), reduce(Controls(), Set(command.control, text))) == command
        )


def test_a_bare_parameter_is_the_usual_variant() -> None:
    for text, value in (("4", MeanOver(4)), ("mean:4", MeanOver(4)), ("sum:steps=4", SumOver(4))):
        assert reduce(Controls(), Set("accumulate", text)).accumulate == value


@pytest.mark.parametrize(
    ("control", "text", "told"),
    [
        ("clip", "norm:x", "max_norm must be a number"),
        ("clip", "norm:", "norm takes max_norm=1.0 after the colon, got nothing"),
        ("clip", "norm:1,2", "norm takes max_norm=1.0"),
        ("clip", "norm:1,max_norm=2", "norm takes max_norm=1.0"),
        ("clip", "norm:tempo=3", "norm takes max_norm=1.0"),
        ("clip", "off:1", "off takes no parameters"),
        ("clip", "norms:1", "clip must be one of norm, value, tensor"),
        ("clip", "", "clip must be one of"),
        ("skip", "maybe", "skip must be one of as-built, on, off"),
        ("tempo", "1", "no control is called 'tempo'"),
        ("lr_scale", "fast", "must be a number"),
    ],
)
def test_text_that_makes_no_sense_is_told_what_would(control: str, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        reduce(Controls(), Set(control, text))


def test_a_value_whose_meaning_is_plain_is_coerced() -> None:
    steps: Any = 4.0
    applied = reduce(Controls(), Set("accumulate", steps)).accumulation_steps
    assert applied == 4
    assert isinstance(applied, int)
    assert isinstance(reduce(Controls(), Set("lr_scale", 2)).lr_scale, float)
    assert isinstance(ClipGradNorm(1).max_norm, float)


@pytest.mark.parametrize(
    "value", NOT_POSITIVE, ids=lambda value: repr(value)[:12] if value != int("9" * 4000) else "9s"
)
@pytest.mark.parametrize(
    "make", [ClipGradNorm, ClipGradValue, lambda value: reduce(Controls(), Set("lr_scale", value))]
)
def test_nonsense_is_no_threshold_and_no_scale(make: Any, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(value)
    assert len(str(caught.value)) < 120, "the message must fit on a screen whatever was typed"


@pytest.mark.parametrize("value", NOT_A_COUNT, ids=range(len(NOT_A_COUNT)))
def test_nonsense_is_no_number_of_microbatches(value: Any) -> None:
    with pytest.raises(ConfigError, match="must be"):
        reduce(Controls(), Set("accumulate", value))


def test_a_word_that_is_no_variant_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        reduce(Controls(), Set("accumulate", "off"))
    assert str(caught.value) == (
        "accumulate must be one of mean, sum, as-coded, as-prose; steps must be a number, got 'off'"
    )


def test_digits_beyond_what_python_prints_are_refused_in_words() -> None:
    too_long = 10**5000  # repr() of it raises
    with pytest.raises(ConfigError, match="thousands of digits"):
        reduce(Controls(), Set("lr_scale", too_long))


@pytest.mark.parametrize("clip", [1.0, Set, ClipGradNorm, MeanOver(1), b"norm:1"])
def test_only_a_clip_can_be_set_as_one(clip: Any) -> None:
    with pytest.raises(ConfigError, match="clip must be"):
        reduce(Controls(), Set("clip", clip))


@pytest.mark.parametrize("command", [None, "stop", Stop, 3, Controls()])
def test_what_is_no_command_is_refused(command: Any) -> None:
    with pytest.raises(ConfigError, match="not a command"):
        reduce(Controls(), command)


def test_training_goes_on_after_nonsense_as_if_it_had_never_come() -> None:
    disturbed, calm = toy_trainer(), toy_trainer()
    for value in NOT_A_COUNT:
        for command in (Set("accumulate", value), Set("lr_scale", value), Set("clip", value)):
            answer = disturbed.apply(command)
            if command == Set("clip", None) or isinstance(answer, CommandApplied):
                continue  # None is a clip, and 1.5 or -3 may be a scale
            assert isinstance(answer, CommandRejected)
            assert answer.step == 1
            assert answer.command is command
            assert answer.reason
    disturbed.apply(Set("lr_scale", 1.0))
    assert disturbed.controls == calm.controls
    assert [disturbed.train_step().loss for _ in range(5)] == [calm.train_step().loss for _ in range(5)]


def test_what_was_applied_is_reported_with_its_step() -> None:
    trainer = toy_trainer()
    trainer.train_step()
    steps: Any = 2.0
    answer = trainer.apply(Set("accumulate", steps))
    assert answer == CommandApplied(2, Set("accumulate", MeanOver(2)), Controls(accumulate=MeanOver(2)))
    assert isinstance(answer.command, Set)
    assert isinstance(answer.command.value, MeanOver)
    assert isinstance(answer.command.value.steps, int)
    assert trainer.train_step().num_microbatches == 2


def test_controls_read_text_and_refuse_what_they_cannot_read() -> None:
    assert Controls(clip="norm:0.01") == Controls(clip=ClipGradNorm(0.01))  # type: ignore[arg-type]
    assert Controls(accumulate=4, lr_scale="2") == Controls(accumulate=MeanOver(4), lr_scale=2.0)  # type: ignore[arg-type]
    for wrong in ({"clip": "nrom:1"}, {"clip": MeanOver(2)}, {"lr_scale": 0}, {"skip": 3}, {"paused": "no"}):
        with pytest.raises(ConfigError, match="must be"):
            Controls(**wrong)  # type: ignore[arg-type]


def test_controls_that_do_not_go_together_are_refused_by_every_way_in() -> None:
    for other in ({"detect": "sam"}, {"detect": "formula"}, {"precision": "bf16"}):
        with pytest.raises(ConfigError, match="Ω"):
            Controls(omega="4", **other)  # type: ignore[arg-type]
        [(name, value)] = other.items()
        with pytest.raises(ConfigError, match="Ω"):
            reduce(reduce(Controls(), Set("omega", "4")), Set(name, value))
