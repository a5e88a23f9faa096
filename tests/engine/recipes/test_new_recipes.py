from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vgrad.config import RunConfig
from vgrad.errors import ConfigError
from vgrad.measure.hidden_gradients import hidden_gradients, ratio
from vgrad.recipes.data.sequences import adding, temporal_order
from vgrad.recipes.recipe import Count, Recipe
from vgrad.recipes.registry import RECIPES, build_task, get_recipe
from vgrad.task import Task

CPU = torch.device("cpu")
every_recipe = pytest.mark.parametrize("name", RECIPES)


def build(name: str, **values: Any) -> Task:
    return build_task(RunConfig.make(recipe=name, **values), CPU)


def draw_source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Options.


@every_recipe
def test_an_option_can_be_called_by_its_last_part(name: str) -> None:
    recipe = get_recipe(name)
    for whole, default in recipe.options.items():
        group, _, short = whole.partition(".")
        assert group in {"model", "data"}
        value = 12 if isinstance(recipe.settings[whole], Count) else default
        for given_name in (whole, short):
            config = RunConfig.make(recipe=name, options={given_name: value})
            assert recipe.read_options(config) == recipe.options | {whole: value}


def test_the_later_of_two_names_counts_so_that_flags_win_over_files() -> None:
    for options in ({"depth": 3, "model.depth": 5}, {"model.depth": 3, "depth": 5}):
        config = RunConfig.make(recipe="depth-tanh", options=options)
        assert get_recipe("depth-tanh").read_options(config)["model.depth"] == 5


def test_a_last_part_of_two_options_needs_its_group() -> None:
    both = {"model.size": Count(1, 9), "data.size": Count(2, 9)}
    recipe = Recipe("both", "x", "x:x", lr=1.0, batch_size=1, settings=both, steps=1, takes="x")
    with pytest.raises(ConfigError, match=r"size could be model\.size or data\.size of both"):
        recipe.read_options(RunConfig.make(options={"size": 3}))
    assert recipe.read_options(RunConfig.make(options={"data.size": 3}))["data.size"] == 3


def test_switches_are_on_and_off_too() -> None:
    for value, expected in (("on", True), ("off", False), (True, True)):
        config = RunConfig.make(recipe="depth-tanh", options={"model.skip": value})
        assert get_recipe("depth-tanh").read_options(config)["model.skip"] is expected


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_cell_is_an_option_and_a_name(cell: str) -> None:
    chosen = build("charlm-rnn", options={"model.cell": cell, "init": "torch", "hidden": 8})
    named = build(f"charlm-{cell}", options={"hidden": 8})
    for one, other in zip(chosen.model.parameters(), named.model.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ConfigError, match=f"activation=relu needs model.cell=rnn.*{cell}"):
        build("charlm-rnn", options={"cell": cell, "activation": "relu"})


@every_recipe
def test_every_recipe_says_how_long_it_takes(name: str) -> None:
    recipe = RECIPES[name]
    assert re.match(rf"{recipe.steps} steps, (under )?\d+ s", recipe.takes)


def test_a_sequence_holds_its_task() -> None:
    with pytest.raises(ConfigError, match="seq_len must be a whole number from 10 to 4096, got 9"):
        build("temporal-order", options={"seq_len": 9})
    with pytest.raises(ConfigError, match="from 2 to 4096, got 1"):
        build("adding-gates", options={"seq_len": 1})


# Data.


@given(seq_len=st.integers(10, 120), seed=st.integers(0, 999))
def test_temporal_order_tells_the_class_by_two_symbols_in_their_places(seq_len: int, seed: int) -> None:
    symbols, classes = temporal_order(seq_len)(40, draw_source(seed))
    assert symbols.shape == (40, seq_len)
    tenth, half = seq_len // 10, seq_len // 2
    for row, answer in zip(symbols.tolist(), classes.tolist(), strict=True):
        places = [t for t, symbol in enumerate(row) if symbol < 2]
        assert len(places) == 2
        assert tenth <= places[0] < 2 * tenth
        assert half <= places[1] < half + tenth
        assert answer == 2 * row[places[0]] + row[places[1]]
        assert set(row) <= set(range(6))


def test_temporal_orders_classes_are_equally_likely() -> None:
    _, classes = temporal_order(30)(8000, draw_source(0))
    assert (classes.bincount(minlength=4) - 2000).abs().max() < 150  # 4 standard deviations


@given(seq_len=st.integers(2, 60), seed=st.integers(0, 999))
def test_adding_marks_one_number_in_each_half(seq_len: int, seed: int) -> None:
    inputs, sums = adding(seq_len)(30, draw_source(seed))
    numbers, marks = inputs.unbind(-1)
    half = seq_len // 2
    assert (marks[:, :half].sum(1) == 1).all()
    assert (marks[:, half:].sum(1) == 1).all()
    assert ((numbers >= 0) & (numbers < 1)).all()
    torch.testing.assert_close((numbers * marks).sum(1, keepdim=True), sums)


def test_the_baseline_of_adding_is_a_sixth() -> None:
    _, sums = adding(50)(20_000, draw_source(0))
    assert (sums - 1).square().mean().item() == pytest.approx(1 / 6, rel=0.03)


@pytest.mark.parametrize("name", ["temporal-order", "adding-gates"])
def test_validation_is_one_set_for_all_seeds(name: str) -> None:
    one, two = build(name, seed=0), build(name, seed=2**63 - 1)
    assert torch.equal(one.validation.inputs, two.validation.inputs)
    assert not torch.equal(one.stream.next().inputs, two.stream.next().inputs)


# Metrics.


def test_the_error_rate_is_the_share_of_wrong_answers() -> None:
    task = build("temporal-order")
    with torch.no_grad():
        answers = task.model(task.validation.inputs).argmax(-1)
    wrong = (answers != task.validation.targets).float().mean()
    assert task.validate_metric() == pytest.approx(wrong.item())
    assert task.metric is not None
    assert task.metric.name == "error rate"


def test_without_a_metric_it_is_nan_and_never_zero() -> None:
    assert build("adding-gates").validate_metric() is None


def test_the_autoencoders_metric_is_its_loss_a_thousand_times() -> None:
    task = build("fp16-underflow")
    assert task.validate_metric() == pytest.approx(1000 * task.validate(), rel=1e-5)


# What each one shows.


def share_of_zeros(task: Task, scale: float) -> float:
    batch = task.stream.next()
    task.optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.float16):
        loss = task.loss_of(batch)
    (loss * scale).backward()
    grads = [param.grad for param in task.model.parameters() if param.grad is not None]
    return sum(int((grad == 0).sum()) for grad in grads) / sum(grad.numel() for grad in grads)


def test_small_gradients_underflow_in_half_precision_until_the_loss_is_scaled() -> None:
    task = build("fp16-underflow", batch_size=1024)
    assert share_of_zeros(task, 1.0) > 0.8
    assert share_of_zeros(task, 65536.0) < 0.1


def test_one_digit_a_step_is_too_noisy_and_sixteen_are_not() -> None:
    def run(per_step: int, lr_scale: float) -> float:
        task = build("tiny-batch")
        task.optimizer.param_groups[0]["lr"] *= lr_scale
        for _ in range(1600 // per_step):
            task.optimizer.zero_grad()
            for _ in range(per_step):
                (task.loss_of(task.stream.next()) / per_step).backward()
            task.optimizer.step()
        return task.validate()

    noisy, accumulated, slow = run(1, 1.0), run(16, 1.0), run(1, 1 / 16)
    assert noisy > 4
    assert accumulated < 2.4
    assert slow < 2.4


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_gradients_vanish_over_fifty_steps_in_every_new_cell(cell: str) -> None:
    task = build("adding-gates", options={"cell": cell})
    assert ratio(hidden_gradients(task, task.stream.next())) < 1e-8


def test_gates_learn_to_add_what_a_plain_network_forgets() -> None:
    def run(cell: str) -> float:
        task = build("adding-gates", batch_size=20, options={"cell": cell, "seq_len": 20})
        for _ in range(300):
            task.optimizer.zero_grad()
            task.loss_of(task.stream.next()).backward()
            task.optimizer.step()
        return task.validate()

    assert run("rnn") > 0.15  # always answering 1 costs 0.167
    assert run("gru") < 0.01
