from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.toys import toy_trainer

from vgrad.controls import (
    MAX_ACCUMULATION_STEPS,
    MAX_LR_SCALE,
    MIN_LR_SCALE,
    Command,
    Controls,
    Pause,
    Resume,
    SetAccumulation,
    SetClip,
    SetLrScale,
    StepOnce,
    Stop,
    reduce,
)
from vgrad.errors import ConfigError
from vgrad.records import CommandApplied, CommandRejected
from vgrad.transforms.clip import ClipGradNorm, ClipGradValue

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
    "1",
    None,
    10**1000,
    int("9" * 4000),
]
NOT_A_COUNT = [*NOT_POSITIVE, 1.5, -3, MAX_ACCUMULATION_STEPS + 1, [4]]

thresholds = st.floats(min_value=1e-30, max_value=1e30)
commands = st.one_of(
    st.builds(
        SetClip, st.none() | st.builds(ClipGradNorm, thresholds) | st.builds(ClipGradValue, thresholds)
    ),
    st.builds(SetAccumulation, st.integers(1, MAX_ACCUMULATION_STEPS)),
    st.builds(SetLrScale, st.floats(min_value=MIN_LR_SCALE, max_value=MAX_LR_SCALE)),
    st.sampled_from([Pause(), Resume(), StepOnce(), Stop()]),
)


@given(st.lists(commands, max_size=8))
def test_the_same_journal_gives_the_same_controls(journal: list[Command]) -> None:
    first = second = Controls()
    for command in journal:
        before = first
        first = reduce(first, command)
        assert before == second, "reduce changed the controls it was given"
        second = reduce(second, command)
    assert first == second


@given(commands)
def test_a_command_touches_only_what_it_names(command: Command) -> None:
    before = Controls(ClipGradValue(3.0), 7, 0.125)
    after = reduce(before, command)
    changed = {name for name in before.__slots__ if getattr(before, name) != getattr(after, name)}
    match command:
        case SetClip():
            assert changed <= {"clip"}
            assert after.clip == command.clip
        case SetAccumulation():
            assert changed <= {"accumulation_steps"}
            assert after.accumulation_steps == command.accumulation_steps
        case SetLrScale():
            assert changed <= {"lr_scale"}
            assert after.lr_scale == command.lr_scale
        case Pause() | StepOnce():
            assert changed == {"paused"}
        case Resume() | Stop():
            assert not changed


def test_a_value_whose_meaning_is_plain_is_coerced() -> None:
    steps: Any = 4.0
    applied = reduce(Controls(), SetAccumulation(steps)).accumulation_steps
    assert applied == 4
    assert isinstance(applied, int)
    assert isinstance(reduce(Controls(), SetLrScale(2)).lr_scale, float)
    assert isinstance(ClipGradNorm(1).max_norm, float)


@pytest.mark.parametrize(
    "value", NOT_POSITIVE, ids=lambda value: repr(value)[:12] if value != int("9" * 4000) else "9s"
)
@pytest.mark.parametrize(
    "make", [ClipGradNorm, ClipGradValue, lambda value: reduce(Controls(), SetLrScale(value))]
)
def test_nonsense_is_no_threshold_and_no_scale(make: Any, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(value)
    assert len(str(caught.value)) < 120, "the message must fit on a screen whatever was typed"


@pytest.mark.parametrize("value", NOT_A_COUNT, ids=range(len(NOT_A_COUNT)))
def test_nonsense_is_no_number_of_microbatches(value: Any) -> None:
    with pytest.raises(ConfigError, match="accumulation_steps must be"):
        reduce(Controls(), SetAccumulation(value))


def test_digits_beyond_what_python_prints_are_refused_in_words() -> None:
    too_long = 10**5000  # repr() of it raises
    with pytest.raises(ConfigError, match="thousands of digits"):
        reduce(Controls(), SetLrScale(too_long))


@pytest.mark.parametrize("clip", ["norm:1", 1.0, SetClip, ClipGradNorm])
def test_only_a_clip_can_be_set_as_one(clip: Any) -> None:
    with pytest.raises(ConfigError, match="clip must be"):
        reduce(Controls(), SetClip(clip))


@pytest.mark.parametrize("command", [None, "stop", Stop, 3, Controls()])
def test_what_is_no_command_is_refused(command: Any) -> None:
    with pytest.raises(ConfigError, match="not a command"):
        reduce(Controls(), command)


def test_training_goes_on_after_nonsense_as_if_it_had_never_come() -> None:
    disturbed, calm = toy_trainer(), toy_trainer()
    for value in NOT_A_COUNT:
        for command in (SetAccumulation(value), SetLrScale(value), SetClip(value)):
            answer = disturbed.apply(command)
            if command == SetClip(None) or isinstance(answer, CommandApplied):
                continue  # None is a clip, and 1.5 or -3 may be a scale
            assert isinstance(answer, CommandRejected)
            assert answer.step == 1
            assert answer.command is command
            assert answer.reason
    disturbed.apply(SetLrScale(1.0))
    assert disturbed.controls == calm.controls
    assert [disturbed.train_step().loss for _ in range(5)] == [calm.train_step().loss for _ in range(5)]


def test_what_was_applied_is_reported_with_its_step() -> None:
    trainer = toy_trainer()
    trainer.train_step()
    steps: Any = 2.0
    answer = trainer.apply(SetAccumulation(steps))
    assert answer == CommandApplied(2, SetAccumulation(2), Controls(accumulation_steps=2))
    assert isinstance(answer.command, SetAccumulation)
    assert isinstance(answer.command.accumulation_steps, int)
    assert trainer.train_step().num_microbatches == 2
