"""In the built-in loop a control that was accepted trains on, whatever the gradients are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf
from vgrad.controls.controls import Pause, Resume, Set
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.task import Task
from vgrad.train.trainer import Trainer

CHANGES = [
    (name, variant.word)
    for name, control in CONTROLS.items()
    if isinstance(control, OneOf)
    for variant in control.variants.values()
]


class Words(nn.Module):
    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 4, sparse=sparse)
        self.factor = None if sparse else nn.Parameter(torch.full((4, 1), 1 + 1j))
        self.head = nn.Linear(4, 3)

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.embed(words).mean(1)
        if self.factor is not None:
            hidden = hidden + (hidden * self.factor[:, 0]).abs()
        return self.head(hidden)


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield torch.randint(9, (6, 5), generator=generator), torch.randint(3, (6,), generator=generator)


def trainer_of(*, sparse: bool) -> Trainer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Words(sparse=sparse)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = Task(model=model, optimizer=optimizer, data=batches(), loss=nn.functional.cross_entropy)
    return Trainer(task, RunConfig.make(steps=10))


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "complex"])
@pytest.mark.parametrize(("name", "word"), CHANGES)
def test_what_is_accepted_trains_on_and_what_is_refused_is_in_the_list(
    name: str, word: str, sparse: bool
) -> None:
    control = CONTROLS[name]
    assert isinstance(control, OneOf)
    value: Any = control.variants[word].value()
    if name == "accumulate" and "steps" in control.variants[word].parameters:
        value = replace(value, steps=2)
    trainer = trainer_of(sparse=sparse)
    trainer.train_step()
    answer = trainer.apply(Set(name, value))
    if isinstance(answer, CommandRejected):
        is_about_precision = name in ("precision", "freeze")  # asked of the model, and of its layers' names
        assert trainer.info().capabilities.why_not(name, word) or is_about_precision
        assert trainer.controls == trainer.info().controls
    for _ in range(4):
        assert trainer.train_step().loss is not None
    trainer.close()


def test_weight_decay_on_a_sparse_gradient_is_refused_by_name() -> None:
    trainer = trainer_of(sparse=True)
    answer = trainer.apply(Set("optimizer", "sgd:0.1,weight_decay=0.1"))
    assert isinstance(answer, CommandRejected)
    assert "weight_decay needs dense gradients" in answer.reason
    assert isinstance(trainer.apply(Set("optimizer", "sgd:0.1")), CommandApplied)
    trainer.train_step()
    trainer.close()


def test_a_precision_is_asked_of_the_model_only_when_it_is_first_wanted() -> None:
    trainer = trainer_of(sparse=True)
    passes: list[str] = []
    trainer.task.model.register_forward_hook(lambda *_: passes.append("forward"))
    trainer.apply(Set("precision", "bf16"))
    assert passes
    seen = len(passes)
    for command in (
        Pause(),
        Resume(),
        Set("clip", "norm:1"),
        Set("precision", "fp32"),
        Set("precision", "bf16"),
    ):
        trainer.apply(command)
    assert len(passes) == seen
    trainer.close()


class UnmarkedWords(nn.Module):
    """Looks its rows up sparsely, and no module of it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 4))
        self.head = nn.Linear(4, 3)
        self.num_passes = 0

    def forward(self, words: Tensor) -> Tensor:
        self.num_passes += 1
        return self.head(nn.functional.embedding(words, self.table, sparse=True).mean(1))


def unmarked_trainer(**settings: Any) -> Trainer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = UnmarkedWords()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    task = Task(model=model, optimizer=optimizer, data=batches(), loss=nn.functional.cross_entropy)
    return Trainer(task, RunConfig.make(steps=10, **settings))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"optimizer": "adam"}, "optimizer=adam: needs dense gradients"),
        ({"optimizer": "sgd:0.1,weight_decay=0.1"}, "weight_decay needs dense gradients"),
        ({"detect": "sam"}, "detect=sam: needs dense gradients"),
        ({"noise": "0.1"}, "needs dense gradients"),
    ],
)
def test_sparse_gradients_that_no_module_announces_are_found_at_the_start_and_mid_run(
    setting: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        unmarked_trainer(**setting)
    steered, bare = unmarked_trainer(), unmarked_trainer()
    [(name, value)] = setting.items()
    steered.train_step()
    answer = steered.apply(Set(name, value))
    assert isinstance(answer, CommandRejected)
    assert reason in answer.reason
    bare.train_step()
    assert [steered.train_step().loss for _ in range(3)] == [bare.train_step().loss for _ in range(3)]
    steered.close()
    bare.close()


def test_whether_gradients_are_dense_is_asked_once_and_only_by_a_control_that_needs_it() -> None:
    trainer = unmarked_trainer(clip="norm:1")
    model = trainer.task.model
    assert isinstance(model, UnmarkedWords)
    assert model.num_passes == 0
    for _ in range(2):
        trainer.apply(Set("optimizer", "adam"))
        trainer.apply(Set("detect", "sam"))
    assert model.num_passes == 1
    trainer.close()
