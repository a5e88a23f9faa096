"""Every notice comes back from plain data as it was; whatever is wrong is refused in one way."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgrad.controls.capabilities import Capabilities, Refusal
from vgrad.controls.controls import (
    CheckGradients,
    Controls,
    Pause,
    Reinit,
    Resume,
    Rewind,
    SaveCheckpoint,
    Set,
    StepOnce,
    Stop,
    UndoReinit,
)
from vgrad.errors import DataError
from vgrad.events.codec import notice_from_data, notice_to_data
from vgrad.events.environment import Environment
from vgrad.events.notices import (
    Checking,
    CheckpointFailed,
    CheckpointSaved,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    LayersChanged,
    LoopNoted,
    MetricsLogged,
    Notice,
    NoticeBody,
    Preparing,
    RankReported,
    RecordingChanged,
    RunEnded,
    RunStarted,
    Validated,
    VerdictChanged,
)
from vgrad.events.run_info import Parent, RunInfo
from vgrad.events.verdict import Verdict
from vgrad.gradcheck.check import CheckedEntry, GradCheck

text = st.text(max_size=12)
counts = st.integers(0, 2**53)
numbers = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e-320])
controls = st.sampled_from(
    [
        Controls(),
        Controls(clip="norm:1", accumulate=4, paused=True),
        Controls(clip="zclip:2.5,alpha=0.9", schedule="cosine:10,total_steps=50", lr_scale=0.125),
        Controls(precision="fp16:1024", optimizer="adam:1e-3", activation="tanh", skip="on"),
    ]
)
commands = st.sampled_from(
    [
        Set("clip", Controls(clip="norm:1").clip),
        Set("clip", None),
        Set("accumulate", Controls(accumulate=8).accumulate),
        *(Reinit("xavier"), UndoReinit(), CheckGradients(), Pause(), Resume(), StepOnce(), Stop()),
        SaveCheckpoint(),
        Rewind(7),
    ]
)
verdicts = st.builds(
    Verdict,
    kind=st.sampled_from(["starting", "healthy", "stalled", "vanishing", "exploding", "dead", "non-finite"]),
    evidence=text,
    layers=st.lists(counts, max_size=3).map(tuple),
    remedy=st.lists(commands, max_size=2).map(tuple),
    advice=text,
    rule=text,
    tags=st.lists(text, max_size=3).map(tuple),
    confidence=st.none() | numbers,
)
entries = st.builds(
    CheckedEntry, layer=text, parameter=text, index=st.lists(counts, max_size=3).map(tuple),
    autograd=numbers, numeric=numbers, error=numbers,
)  # fmt: skip


def of_layers(kind: type[Any], second: str) -> Callable[..., Any]:
    """Makes a ``kind`` with the names of its layers, and with one number for each in the field ``second``."""

    def make(pairs: list[tuple[str, Any]], **values: object) -> Any:
        numbers = {second: tuple(number for _, number in pairs)}
        return kind(layers=tuple(name for name, _ in pairs), **numbers, **values)

    return make


checks = st.builds(
    of_layers(GradCheck, "errors"), st.lists(st.tuples(text, numbers), max_size=3),
    worst=st.none() | entries, tolerance=numbers, floor=numbers, num_entries=counts, num_unresolved=counts,
    num_kinks=counts, num_left_out=counts, took_s=numbers,
)  # fmt: skip
infos = st.builds(
    of_layers(RunInfo, "layer_sizes"),
    st.lists(st.tuples(text, counts), max_size=4),
    recipe=text,
    description=text,
    seed=st.none() | counts,
    device=text,
    unit=st.sampled_from(["tokens", "samples"]),
    num_steps=st.none() | counts,
    controls=controls,
    recurrent=st.booleans(),
    structure=st.just((("activation", ("tanh", "relu")),)) | st.just(()),
    built=st.just((("activation", "tanh"),)) | st.just(()),
    capabilities=st.just(Capabilities())
    | st.builds(lambda why: Capabilities((Refusal("clip", "agc", why),)), text),
    baseline=st.none() | st.floats(allow_nan=False),
    config=st.dictionaries(text, st.none() | text | counts | st.booleans(), max_size=3),
    environment=st.none()
    | st.builds(
        Environment, python=text, torch=text, numpy=text, vgrad=text, device_name=st.none() | text,
        threads=counts, host=text, git_commit=st.none() | text, text_sha256=st.none() | text,
        task_sha256=st.none() | text,
    ),
    parent=st.none() | st.builds(Parent, text, counts),
)  # fmt: skip
bodies: dict[type[Any], st.SearchStrategy[Any]] = {
    Preparing: st.builds(Preparing, text),
    RunStarted: st.builds(RunStarted, infos),
    CommandApplied: st.builds(CommandApplied, counts, commands, controls),
    CommandRejected: st.builds(CommandRejected, counts, commands, text),
    Validated: st.builds(Validated, counts, numbers, numbers),
    Checking: st.builds(Checking, counts, counts),
    GradientsChecked: st.builds(GradientsChecked, counts, checks),
    VerdictChanged: st.builds(VerdictChanged, counts, verdicts),
    LayersChanged: st.builds(LayersChanged, counts, infos),
    CheckpointSaved: st.builds(
        CheckpointSaved, counts, st.sampled_from(["start", "time", "command", "asked", "end"]),
        counts, counts, st.lists(counts, max_size=3).map(tuple), st.none() | counts, counts,
    ),
    CheckpointFailed: st.builds(CheckpointFailed, counts, text),
    RecordingChanged: st.builds(RecordingChanged, st.none() | text, st.none() | text),
    MetricsLogged: st.builds(
        MetricsLogged, counts, st.lists(st.tuples(text, numbers), max_size=3).map(tuple)
    ),
    LoopNoted: st.builds(LoopNoted, counts, text),
    RankReported: st.builds(RankReported, counts, counts, text),
    RunEnded: st.builds(
        RunEnded, counts, st.sampled_from(["done", "stopped", "failed"]), st.none() | numbers,
        st.none() | numbers, st.none() | numbers, numbers, st.none() | text, st.none() | text,
    ),
}  # fmt: skip
notices = st.builds(
    Notice,
    counts,
    st.floats(0, 1e10),
    counts,
    st.integers(0, 99),
    st.one_of(*bodies.values()),
    st.none() | text,
)


def same(left: object, right: object) -> bool:
    """Equality in which NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if dataclasses.is_dataclass(left) and type(left) is type(right):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


def test_every_kind_of_notice_is_tried_here() -> None:
    assert set(bodies) == set(get_args(NoticeBody))


@given(notice=notices)
def test_a_notice_comes_back_through_strict_json(notice: Notice) -> None:
    written = json.dumps(notice_to_data(notice), allow_nan=False)
    assert same(notice_from_data(json.loads(written)), notice)


@pytest.mark.parametrize(
    "command", [Set("clip", "norm:-1"), Set("no such control", "1"), Reinit("no scheme")]
)
def test_a_refused_command_is_kept_with_its_nonsense(command: Set | Reinit) -> None:
    notice = Notice(0, 1.0, 3, 0, CommandRejected(3, command, "no"), "id")
    assert notice_from_data(json.loads(json.dumps(notice_to_data(notice)))) == notice


class WithoutRepr:
    def __repr__(self) -> str:
        raise LookupError("made to fail")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("clip=norm:1", "clip=norm:1"), (None, "None"), (WithoutRepr(), "an object of type WithoutRepr")],
)
def test_of_a_refused_thing_that_is_no_command_the_text_is_kept(given: Any, kept: Any) -> None:
    def notice(command: Any) -> Notice:
        return Notice(0, 1.0, 3, 0, CommandRejected(3, command, "not a command"), "id")

    assert notice_from_data(json.loads(json.dumps(notice_to_data(notice(given))))) == notice(kept)


def mutations(data: Any, generator: random.Random) -> Any:
    """``data`` with one thing in it replaced, dropped, or added."""
    if isinstance(data, dict) and data and generator.random() < 0.8:
        name = generator.choice(list(data))
        changed = dict(data)
        if generator.random() < 0.2:
            del changed[name]
        else:
            changed[name] = mutations(data[name], generator)
        return changed
    if isinstance(data, list) and data and generator.random() < 0.7:
        place = generator.randrange(len(data))
        return [*data[:place], mutations(data[place], generator), *data[place + 1 :]]
    return generator.choice(
        [None, True, -1, 2.5, 10**400, "x" * 50, [], {}, [[]], {"version": 1}, "\x1b[31m", "nan"]
    )


def test_damaged_data_is_refused_in_one_way() -> None:
    generator = random.Random(0)
    info = RunInfo("r", "d", 0, "cpu", ("a", "b"), (1, 2), "samples", 3, Controls(clip="norm:1"))
    verdict = Verdict("healthy", "all well", (0,), (Set("clip", "norm:1"),), "", "rule", ("hot",), 0.9)
    told: list[NoticeBody] = [
        RunStarted(info),
        VerdictChanged(3, verdict),
        RunEnded(1, "done", 1.0, 2.0, None, 3.0),
        Preparing("x"),
        CommandApplied(1, Set("clip", "norm:1"), Controls()),
        CommandRejected(1, Pause(), "no"),
    ]
    good = [notice_to_data(Notice(number, 1.0, 1, 0, body, "id")) for number, body in enumerate(told)]
    refused = 0
    for _ in range(600):
        data = mutations(generator.choice(good), generator)
        try:
            notice_from_data(data)
        except DataError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["layers", "layer_sizes"])
def test_layers_without_a_size_and_sizes_without_a_layer_are_refused(name: str) -> None:
    info = RunInfo("r", "d", 0, "cpu", ("a", "b"), (1, 2), "samples", 3, Controls())
    data = json.loads(json.dumps(notice_to_data(Notice(0, 1.0, 0, 0, RunStarted(info)))))
    data["body"]["info"][name].pop()
    with pytest.raises(DataError, match="sizes"):
        notice_from_data(data)


@pytest.mark.parametrize("version", [0, 2, None, True, "1"])
def test_another_version_is_refused_by_name(version: object) -> None:
    data = notice_to_data(Notice(0, 1.0, 0, 0, Preparing("x")))
    with pytest.raises(DataError, match="version 1"):
        notice_from_data({**data, "version": version})
