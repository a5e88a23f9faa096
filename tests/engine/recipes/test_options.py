"""The options of recipes: by which names they are called, and which values are refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine.recipes.building import CPU, build, every_recipe, same, weights_of

from vgrad.config import RunConfig
from vgrad.errors import ConfigError, RecipeError
from vgrad.recipes.recipe import Count, Recipe
from vgrad.recipes.registry import RECIPES, build_task, get_recipe


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


@every_recipe
def test_default_options_given_by_hand_change_nothing(name: str) -> None:
    options = RECIPES[name].options
    assert same(weights_of(build(name)), weights_of(build(name, options=options)))


@every_recipe
def test_lr_and_batch_size_come_from_the_config_or_else_from_the_recipe(name: str) -> None:
    recipe = get_recipe(name)
    assert build(name).optimizer.param_groups[0]["lr"] == recipe.lr
    assert build(name).stream.next().num_samples == recipe.batch_size
    task = build(name, lr=0.125, batch_size=5)
    assert task.optimizer.param_groups[0]["lr"] == 0.125
    assert task.stream.next().num_samples == 5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("charlm-rnn", {"hiden": 8}, "did you mean 'hidden'.*hidden=128.*activation=tanh"),
        ("charlm-lstm", {"activation": "relu"}, "no option 'activation'.*seq_len=64"),
        ("charlm-rnn", {"hidden": "big"}, "hidden must be a whole number, got 'big'.*hidden=128"),
        ("charlm-rnn", {"hidden": 2.5}, "hidden must be a whole number"),
        ("charlm-rnn", {"hidden": True}, "hidden must be a whole number"),
        ("charlm-rnn", {"hidden": 0}, "from 1 to 4096"),
        ("charlm-rnn", {"layers": 10**9}, "from 1 to 16"),
        ("charlm-rnn", {"activation": "sigmoid"}, "one of tanh, relu, got 'sigmoid'"),
        ("charlm-gru", {"init": 3}, "one of torch, xavier, he, orthogonal, normal, got 3"),
        ("charlm-transformer", {"heads": 5}, "width must be a multiple of heads"),
        ("depth-sigmoid", {"skip": "yes"}, "skip must be true or false, got 'yes'.*skip=false"),
        ("depth-tanh", {"skip": 1}, "skip must be true or false"),
    ],
)
def test_options_that_make_no_sense(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, options=options)


def test_a_batch_larger_than_the_digits_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size must be a whole number from 1 to 1437"):
        build("depth-sigmoid", batch_size=1438)
    assert build("depth-sigmoid", batch_size=1437).stream.next().ends_epoch


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'charlm-rnn'.*article-net"):
        get_recipe("charlm-rn")
    with pytest.raises(RecipeError) as raised:
        build_task(RunConfig.make(recipe="zzz"), CPU)
    assert "did you mean" not in str(raised.value)
    assert all(name in str(raised.value) for name in RECIPES)
