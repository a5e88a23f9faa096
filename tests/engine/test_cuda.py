"""Whole runs on an accelerator: a step never waits for it, and watching changes nothing there."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.engine.changes import CHANGES
from tests.engine.waiting import no_waiting
from torch import Tensor

import vgrad
from vgrad.controls.controls import Reinit, Set, UndoReinit
from vgrad.events.notices import CommandApplied
from vgrad.train.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# Both look at the gradient before they step, and say so.
WAITS = {("skip_non_finite", "on"), ("precision", "fp16")}


def build(recipe: str, **settings: Any) -> Trainer:
    return vgrad.build(recipe, device="cuda", **settings)


def assert_never_waits(trainer: Trainer, num_steps: int = 12) -> None:
    records = []
    for _ in range(4):  # the first steps allocate and tune
        records += trainer.advance()
    with no_waiting():
        for _ in range(num_steps):
            records += trainer.advance()
    records += trainer.finish()
    assert [record.step for record in records[-num_steps:]] == list(
        range(trainer.step - num_steps + 1, trainer.step + 1)
    )
    assert all(math.isfinite(record.grad_norm) for record in records)


@pytest.mark.parametrize(
    "recipe",
    ["charlm-rnn", "charlm-lstm", "charlm-gru", "charlm-transformer", "depth-tanh", "digits-conv",
     "adding-gates", "temporal-order", "article-net", "tiny-batch"],
)  # fmt: skip
def test_no_recipe_waits_for_the_device(recipe: str) -> None:
    assert_never_waits(build(recipe, watch_budget=1.0))


NEVER_WAIT = [change for change in CHANGES if change not in WAITS]


@pytest.mark.parametrize(("name", "word"), NEVER_WAIT)
def test_no_control_waits_for_the_device(name: str, word: str) -> None:
    trainer = build("depth-tanh", options={"depth": 4, "width": 16}, batch_size=8)
    trainer.advance()
    assert isinstance(trainer.apply(Set(name, word)), CommandApplied)
    assert_never_waits(trainer)


def test_omega_does_not_wait_for_the_device() -> None:
    assert_never_waits(build("temporal-order", clip="norm:1", omega="4", options={"hidden": 16}))


@pytest.mark.parametrize(("name", "word"), sorted(WAITS))
def test_what_waits_trains_all_the_same(name: str, word: str) -> None:
    trainer = build("depth-tanh", **{name: word})
    losses = [trainer.train_step().loss for _ in range(10)]
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize("recipe", ["charlm-lstm", "depth-tanh", "article-net"])
def test_watching_changes_no_bit(recipe: str) -> None:
    def weights(watch_budget: float) -> Tensor:
        trainer = build(recipe, watch_budget=watch_budget)
        for _ in range(30):
            trainer.advance()
        trainer.finish()
        return torch.cat([param.detach().flatten() for param in trainer.task.model.parameters()])

    def bare() -> Tensor:
        trainer = build(recipe)
        trainer.close()  # no hook is left on the optimizer
        task = trainer.task
        for _ in range(30):
            batch = task.stream.next()
            task.optimizer.zero_grad()
            task.loss_of(batch).backward()
            task.optimizer.step()
        return torch.cat([param.detach().flatten() for param in task.model.parameters()])

    expected = bare()
    assert torch.equal(expected, bare()), "this recipe can be repeated to the bit"
    assert torch.equal(weights(0.0), expected)
    assert torch.equal(weights(1.0), expected)


def test_weights_drawn_anew_and_brought_back() -> None:
    trainer = build("charlm-rnn")
    trainer.train_step()
    before = [param.detach().clone() for param in trainer.task.model.parameters()]
    assert isinstance(trainer.apply(Reinit("orthogonal")), CommandApplied)
    assert isinstance(trainer.apply(UndoReinit()), CommandApplied)
    for param, value in zip(trainer.task.model.parameters(), before, strict=True):
        assert torch.equal(param, value)


def test_gradients_are_checked() -> None:
    check = build("depth-tanh", options={"depth": 3, "width": 8}).check_gradients()
    assert check.passed
