"""Built-in models, data and named recipes. Importing this needs no torch; building does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from vgrad.errors import RecipeError
from vgrad.recipes.recipe import Choice, Count, Recipe, Setup, Switch, did_you_mean

if TYPE_CHECKING:
    import torch

    from vgrad.config import RunConfig
    from vgrad.recipes.task import Task

__all__ = ["RECIPES", "Recipe", "build_task", "get_recipe"]

_WIDTH = 4096  # beyond this one layer alone is hundreds of megabytes
_SEQ_LEN = Count(64, at_most=4096)
_ACTIVATIONS = ("sigmoid", "tanh", "relu")
_INITS = ("torch", "xavier", "he", "orthogonal")


def _recurrent(init: str) -> dict[str, Count | Choice | Switch]:
    return {
        "embed": Count(32, at_most=_WIDTH),
        "hidden": Count(128, at_most=_WIDTH),
        "layers": Count(1, at_most=16),
        "seq_len": _SEQ_LEN,
        "init": Choice(init, _INITS),
    }


def _deep(depth: int, activation: str, init: str) -> dict[str, Count | Choice | Switch]:
    return {
        "depth": Count(depth, at_most=500),
        "width": Count(64, at_most=_WIDTH),
        "activation": Choice(activation, _ACTIVATIONS),
        "skip": Switch(False),
        "init": Choice(init, _INITS),
    }


_ALL = (
    Recipe(
        name="charlm-rnn",
        summary="character RNN on real text: explodes in its first steps, clipping by norm 1 prevents it",
        builder="recurrent:build_rnn",
        lr=2.0,
        batch_size=16,
        settings=_recurrent("xavier") | {"activation": Choice("tanh", ("tanh", "relu"))},
        text=True,
    ),
    Recipe(
        name="charlm-lstm",
        summary="the same text with an LSTM: gates keep it stable without clipping",
        builder="recurrent:build_lstm",
        lr=2.0,
        batch_size=16,
        settings=_recurrent("torch"),
        text=True,
    ),
    Recipe(
        name="charlm-gru",
        summary="the same text with a GRU: as stable as the LSTM, with one gate less",
        builder="recurrent:build_gru",
        lr=2.0,
        batch_size=16,
        settings=_recurrent("torch"),
        text=True,
    ),
    Recipe(
        name="charlm-transformer",
        summary="the same text with a small pre-norm transformer: gradients stay even over depth",
        builder="transformer:build",
        lr=3e-3,
        batch_size=16,
        settings={
            "width": Count(96, at_most=_WIDTH),
            "layers": Count(3, at_most=64),
            "heads": Count(4, at_most=64),
            "seq_len": _SEQ_LEN,
        },
        text=True,
    ),
    Recipe(
        name="depth-sigmoid",
        summary="20 sigmoid layers on digits: gradients vanish, activation=tanh or skip=true cures it",
        builder="depth:build",
        lr=0.1,
        batch_size=64,
        settings=_deep(20, "sigmoid", "xavier"),
    ),
    Recipe(
        name="depth-tanh",
        summary="30 tanh layers with torch's default init on digits: vanishes too, skip=true cures it",
        builder="depth:build",
        lr=0.1,
        batch_size=64,
        settings=_deep(30, "tanh", "torch"),
    ),
    Recipe(
        name="article-net",
        summary="the article's 784-128-10 net, repaired: learns one random batch by heart",
        builder="article:build",
        lr=0.01,
        batch_size=64,
        settings={"hidden": Count(128, at_most=_WIDTH)},
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL})


def get_recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        RecipeError: If there is none; says which there are, and which was probably meant.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise RecipeError(
            f"no recipe is called {name[:40]!r}{did_you_mean(name, RECIPES)} (recipes: {', '.join(RECIPES)})"
        )
    return recipe


def build_task(config: RunConfig, device: torch.device) -> Task:
    """Build the model, optimizer and data that ``config`` describes.

    The same seed gives bit-identical weights and batches on every device; the global random
    state is left as it was.

    Raises:
        RecipeError: If the recipe does not exist.
        ConfigError: If a setting makes no sense.
        DataError: If the data cannot be used.
        MissingExtra: If the recipe needs a package that is not installed.
    """
    recipe = get_recipe(config.recipe)
    setup = recipe.setup(config, device)
    module, _, function = recipe.builder.partition(":")
    builder: Callable[[Setup], Task] = getattr(import_module(f"{__name__}.{module}"), function)
    return builder(setup)
