"""A run that was captured and restored goes on as if it had never been interrupted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.changes import CHANGES
from tests.engine.toys import sgd, toy_model, toy_task, toy_trainer
from torch import nn

import vgrad
from vgrad.controls.controls import Command, Reinit, Set, UndoReinit
from vgrad.errors import ConfigError, DataError
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.recipes.registry import RECIPES
from vgrad.train.state import TrainerState
from vgrad.train.trainer import Trainer

_MODEL = {
    "hidden": 8,
    "embed": 4,
    "width": 8,
    "heads": 2,
    "channels": 2,
    "depth": 4,
    "seq_len": 12,
    "layers": 2,
}
_FEW = {"charlm-rnn": 4, "charlm-lstm": 4, "charlm-gru": 4, "charlm-transformer": 4}

# The judge looks every 40 steps; with the whole budget the statistics are measured as often.
_BUDGET = 1.0


def small(recipe: str, **more: Any) -> Trainer:
    known = {name.rpartition(".")[2]: setting for name, setting in RECIPES[recipe].settings.items()}
    options = {name: value for name, value in _MODEL.items() if name in known}
    return vgrad.build(
        recipe, options=options, batch_size=_FEW.get(recipe, 8), device="cpu", watch_budget=_BUDGET, **more
    )


def go_on(trainer: Trainer, num_steps: int, commands: Sequence[tuple[int, Command]] = ()) -> list[str]:
    """Train on; what must be the same of each step: the loss, all that the judge knows, and the weights."""
    seen = []
    for step in range(num_steps):
        seen += [
            repr(answer.controls) if isinstance(answer, CommandApplied) else answer.reason
            for at, command in commands
            if at == step
            for answer in [trainer.apply(command)]
        ]
        record = trainer.train_step()
        seen.append(
            f"{record.step} {record.loss!r} {record.lr!r} {record.applied_norm!r} {record.loss_scale}"
        )
        seen.append(repr(trainer.reporter.judge.capture()))
    tensors = (*trainer.task.model.parameters(), *trainer.task.model.buffers())
    return [*seen, repr([tensor.tolist() for tensor in tensors])]


def through_a_folder(state: TrainerState, tmp_path: Path) -> TrainerState:
    state.save(tmp_path / "state")
    return TrainerState.load(tmp_path / "state")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_goes_on_as_if_nothing_had_been(recipe: str, tmp_path: Path) -> None:
    trainer = small(recipe, seed=3)
    go_on(trainer, 47)
    state = trainer.capture()
    uninterrupted = go_on(trainer, 45)
    for again in (state, through_a_folder(state, tmp_path), state):
        other = small(recipe, seed=4, clip="norm:0.5", optimizer="rmsprop", lr_scale=0.1)
        other.train_step()
        other.restore_(again)
        assert replace(other.info(), config={}) == replace(trainer.info(), config={})
        assert other.info().config["seed"] == 3
        assert go_on(other, 45) == uninterrupted


@pytest.mark.parametrize(("name", "word"), CHANGES)
def test_every_control_goes_on_as_if_nothing_had_been(name: str, word: str, tmp_path: Path) -> None:
    trainer = small("depth-tanh", seed=3, **({} if name == "optimizer" else {"optimizer": "momentum"}))
    trainer.train_step()
    assert isinstance(trainer.apply(Set(name, word)), CommandApplied)
    for _ in range(3):
        trainer.train_step()
    state = trainer.capture()
    uninterrupted = go_on(trainer, 4)
    other = small("depth-tanh", seed=4, noise="gaussian", clip="zclip", precision="bf16")
    other.train_step()
    other.restore_(through_a_folder(state, tmp_path))
    assert go_on(other, 4) == uninterrupted


ALL_ON = {
    "detect": "as-prose", "accumulate": "mean:3", "skip_non_finite": "on", "freeze": "embed*",
    "centralize": "on", "normalize": "lars", "clip": "autoclip", "noise": "gaussian",
    "precision": "fp16:1024,growth_interval=2",
    "optimizer": "adamw", "schedule": "cosine:4,total_steps=40", "lr_scale": 0.5, "layer_norm": "on",
    "activation": "relu",
}  # fmt: skip

COMMANDS: list[Command] = [
    Set("clip", "zclip"), Set("clip", "floor-signed"), Set("clip", "off"), Set("detect", "formula"),
    Set("accumulate", "as-prose"), Set("accumulate", 4), Set("omega", "2"), Set("precision", "fp32"),
    Set("optimizer", "recipe"), Set("optimizer", "momentum"), Set("schedule", "constant"),
    Set("schedule", "step:2"), Set("lr_scale", 2.0), Set("activation", "as-built"), Set("freeze", "off"),
    Set("noise", "off"), Reinit("torch"), Reinit("hh-identity"), UndoReinit(),
]  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    before=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(COMMANDS)), max_size=5),
    after=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(COMMANDS)), max_size=5),
    steps=st.integers(0, 8),
    all_on=st.booleans(),
)
def test_whatever_was_asked_for_before_and_is_asked_for_afterwards(
    before: list[tuple[int, Command]], after: list[tuple[int, Command]], steps: int, all_on: bool
) -> None:
    trainer = small("charlm-rnn", seed=3, **(ALL_ON if all_on else {}))
    go_on(trainer, steps, before)
    state = trainer.capture()
    uninterrupted = go_on(trainer, 6, after)
    other = small("charlm-rnn", seed=4)
    other.restore_(state)
    assert go_on(other, 6, after) == uninterrupted
    trainer.restore_(state)
    assert go_on(trainer, 6, after) == uninterrupted, "into the same trainer, too"


def test_capturing_changes_nothing_and_swallows_no_record() -> None:
    calm, captured = small("charlm-rnn", **ALL_ON), small("charlm-rnn", **ALL_ON)
    for _ in range(6):
        assert go_on(calm, 1) == go_on(captured, 1)
        captured.capture()
    steps: list[int] = []
    for _ in range(5):
        steps += [record.step for record in captured.advance()]
        captured.capture()
    steps += [record.step for record in captured.finish()]
    assert steps == [7, 8, 9, 10, 11]


def test_records_of_the_course_that_a_restore_leaves_are_not_returned_after_it() -> None:
    trainer, other = toy_trainer(), toy_trainer()
    go_on(trainer, 3)
    state = trainer.capture()
    for _ in range(5):
        other.advance()
    other.restore_(state)
    assert [record.step for record in other.advance() + other.finish()] == [4]


def test_what_is_drawn_from_the_global_random_state_goes_on() -> None:
    def trainer_of(seed: int) -> Trainer:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 1))
        return toy_trainer(toy_task(model=model))

    before = torch.get_rng_state()
    trainer = trainer_of(0)
    go_on(trainer, 3)
    state = trainer.capture()
    uninterrupted = go_on(trainer, 5)
    other = trainer_of(1)
    go_on(other, 2)
    other.restore_(state)
    assert go_on(other, 5) == uninterrupted
    torch.set_rng_state(before)


def test_a_loader_goes_on_in_the_middle_of_its_epoch(tmp_path: Path) -> None:
    def trainer_of() -> Trainer:
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        rows = torch.arange(20.0).view(10, 2)
        data = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(rows, rows.sum(1, keepdim=True)), batch_size=3, shuffle=True
        )
        task = vgrad.Task(model=model, optimizer=sgd(model.parameters()), data=data, loss=nn.MSELoss())
        return toy_trainer(task)

    trainer = trainer_of()
    go_on(trainer, 6)
    state = through_a_folder(trainer.capture(), tmp_path)
    uninterrupted = go_on(trainer, 9)
    other = trainer_of()
    other.restore_(state)
    assert go_on(other, 9) == uninterrupted


class Numbers:
    """Data that knows its position, in numpy's numbers."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._num_drawn = np.int64(0)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while self._num_drawn < 5:
            self._num_drawn += np.int64(1)
            rows = torch.from_numpy(self._random.standard_normal((4, 6), dtype=np.float32))
            yield rows, rows.sum(1, keepdim=True)
        self._num_drawn = np.int64(0)

    def state_dict(self) -> dict[str, Any]:
        random = self._random.bit_generator.state
        return {"num_drawn": self._num_drawn, "random": random, "more": np.arange(3, dtype=np.uint32)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert (type(state["num_drawn"]), state["more"].dtype) == (np.int64, np.uint32)
        self._num_drawn, self._random.bit_generator.state = state["num_drawn"], state["random"]


def test_data_with_a_position_of_its_own_goes_on_through_a_folder(tmp_path: Path) -> None:
    def make() -> Trainer:
        model = toy_model()
        optimizer = sgd(model.parameters())
        loss = nn.functional.mse_loss
        return toy_trainer(vgrad.Task(model=model, optimizer=optimizer, data=Numbers(), loss=loss))

    trainer, other = make(), make()
    go_on(trainer, 7)
    state = through_a_folder(trainer.capture(), tmp_path)
    other.train_step()
    other.restore_(state)
    assert go_on(other, 9) == go_on(trainer, 9)


def test_data_that_can_only_be_read_on_is_refused_with_what_would_do() -> None:
    model = nn.Linear(2, 1)
    pairs = ((torch.ones(1, 2), torch.ones(1, 1)) for _ in range(5))
    task = vgrad.Task(model=model, optimizer=sgd(model.parameters()), data=pairs, loss=nn.MSELoss())
    with pytest.raises(ConfigError, match="cannot be captured"):
        toy_trainer(task).capture()


def test_the_last_re_initialisations_can_be_undone_after_a_restore(tmp_path: Path) -> None:
    trainer = small("depth-tanh", optimizer="adam")
    trainer.train_step()
    first = [param.detach().clone() for param in trainer.task.model.parameters()]
    for scheme in ("he", "xavier"):
        trainer.apply(Reinit(scheme))
        trainer.train_step()
    other = small("depth-tanh", seed=9)
    other.restore_(through_a_folder(trainer.capture(), tmp_path))
    for _ in range(2):
        assert isinstance(other.apply(UndoReinit()), CommandApplied)
    assert all(map(torch.equal, other.task.model.parameters(), first))
    assert isinstance(other.apply(UndoReinit()), CommandRejected)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: small("depth-sigmoid"), "recipe is 'depth-tanh' in the state and 'depth-sigmoid' here"),
        (
            lambda: vgrad.build("depth-tanh", batch_size=8, watch_budget=_BUDGET),
            "run: model.depth is 4 in the state and 30 here; model.width is 8 in the state",
        ),
        (lambda: small("depth-tanh", lr=0.5), "run: lr is None in the state and 0.5 here"),
        (lambda: vgrad.build("depth-tanh", batch_size=4), "batch_size is 8 in the state and 4 here"),
        (lambda: vgrad.build("depth-tanh"), "watch_budget is 1.0 in the state and 0.02 here"),
    ],
)
def test_a_state_of_another_run_is_refused_with_what_differs(make: Callable[[], Trainer], told: str) -> None:
    state = small("depth-tanh").capture()
    other = make()
    before = other.capture()
    with pytest.raises(ConfigError) as caught:
        other.restore_(state)
    assert told in str(caught.value)
    untouched = go_on(other, 2)
    other.restore_(before)
    assert go_on(other, 2) == untouched


def test_a_state_of_another_model_is_refused_with_what_differs() -> None:
    state = toy_trainer().capture()
    wider = nn.Sequential(nn.Linear(6, 13), nn.Tanh(), nn.LayerNorm(13), nn.Linear(13, 1))
    with pytest.raises(ConfigError, match=r"0.weight is float32 of shape \(12, 6\) in the state"):
        toy_trainer(toy_task(model=wider)).restore_(state)


def test_a_state_with_anything_else_than_controls_is_refused() -> None:
    state = toy_trainer().capture()
    watching = {**state.content["watching"], "controls": {"clip": None}}
    with pytest.raises(DataError, match="its controls are a dict"):
        toy_trainer().restore_(TrainerState(state.run, {**state.content, "watching": watching}))


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    state = toy_trainer().capture()
    newer = TrainerState({**state.run, "version": 99}, state.content)
    with pytest.raises(ConfigError, match="version is 99"):
        toy_trainer().restore_(newer)
    state.save(tmp_path / "state")
    path = tmp_path / "state" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(DataError, match="version 99"):
        TrainerState.load(tmp_path / "state")


@pytest.mark.parametrize("num_steps", [0, 1])
def test_what_a_uniform_guess_costs_is_known_as_long_as_in_the_uninterrupted_run(
    num_steps: int, tmp_path: Path
) -> None:
    def make() -> Trainer:
        rows = torch.linspace(-1, 1, 24).reshape(8, 3)
        model = nn.Linear(3, 4)
        optimizer = sgd(model.parameters())
        data = [(rows, torch.arange(8) % 4)]
        task = vgrad.Task(model=model, optimizer=optimizer, data=data, loss=nn.functional.cross_entropy)
        return toy_trainer(task)

    trainer, other = make(), make()
    go_on(trainer, num_steps)
    assert isinstance(trainer.apply(Set("detect", "sam")), CommandApplied)  # nothing is looked up with it
    other.train_step()
    other.restore_(through_a_folder(trainer.capture(), tmp_path))
    for each in (trainer, other):
        go_on(each, 1)
    assert repr(other.guesses) == repr(trainer.guesses)
    assert math.isnan(trainer.guesses.uniform) == (num_steps == 0)


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_truncated_or_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    toy_trainer().capture().save(tmp_path / "state")
    path = tmp_path / "state" / name
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            TrainerState.load(tmp_path / "state")
    for place in range(0, len(whole), len(whole) // 23):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(DataError):
            TrainerState.load(tmp_path / "state")
    path.unlink()
    with pytest.raises(DataError, match="cannot read"):
        TrainerState.load(tmp_path / "state")


@pytest.mark.parametrize("state", [None, {}, "state"])
def test_what_is_no_state_is_refused_in_words(state: Any) -> None:
    with pytest.raises(DataError, match="what capture"):
        toy_trainer().restore_(state)


@pytest.mark.parametrize(
    "holder", ["task", "model", "optimizer", "watching", "backward", "reinits", "judges"]
)
def test_a_state_that_is_not_what_was_captured_changes_nothing(holder: str) -> None:
    trainer, other = toy_trainer(optimizer="adam"), toy_trainer()
    for each in (trainer, other):
        go_on(each, 3)
    state = trainer.capture()
    for damaged in ({}, None, {"own": 1}):
        with pytest.raises(DataError):
            other.restore_(TrainerState(state.run, {**state.content, holder: damaged}))
    untouched = toy_trainer()
    go_on(untouched, 3)
    assert go_on(other, 4) == go_on(untouched, 4)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    state = toy_trainer().capture()
    state.save(tmp_path / "state")
    with pytest.raises(DataError, match="cannot save"):
        state.save(tmp_path / "state")  # one that is there is never replaced
    with pytest.raises(DataError, match="cannot save"):
        state.save(tmp_path / "nowhere" / "state")
    content = {**state.content, "task": {"stream": {"position": object()}, "baseline": None}}
    with pytest.raises(DataError, match="task/stream/position"):
        TrainerState(state.run, content).save(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert TrainerState.load(tmp_path / "state").step == 0
