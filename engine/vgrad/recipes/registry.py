"""Built-in models, data and named recipes. Importing this needs no torch; building does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from vgrad.errors import RecipeError
from vgrad.methods.init_schemes import INITS
from vgrad.methods.structure import ACTIVATIONS, RNN_ACTIVATIONS
from vgrad.recipes.recipe import Choice, Count, Recipe, RecipeSetting, Setup, Switch
from vgrad.validation import did_you_mean

if TYPE_CHECKING:
    import torch

    from vgrad.config import RunConfig
    from vgrad.task import Task

__all__ = ["RECIPES", "Recipe", "build_task", "get_recipe"]

_WIDTH = 4096  # beyond this one layer alone is hundreds of megabytes
_CELLS = ("rnn", "lstm", "gru")


def _recurrent(
    cell: str, init: str, *, hidden: int, more: Mapping[str, RecipeSetting] | None = None
) -> dict[str, RecipeSetting]:
    return {
        "model.cell": Choice(cell, _CELLS),
        "model.hidden": Count(hidden, at_most=_WIDTH),
        "model.layers": Count(1, at_most=16),
        **(more or {}),
        **({"model.activation": Choice("tanh", RNN_ACTIVATIONS)} if cell == "rnn" else {}),
        "model.layer_norm": Switch(False),
        "model.init": Choice(init, tuple(INITS)),
    }


def _charlm(cell: str, init: str) -> dict[str, RecipeSetting]:
    embed = {"model.embed": Count(32, at_most=_WIDTH)}
    return _recurrent(cell, init, hidden=128, more=embed) | {"data.seq_len": _SEQ_LEN}


def _deep(
    depth: int, activation: str, init: str, *, size: Mapping[str, RecipeSetting] | None = None
) -> dict[str, RecipeSetting]:
    return {
        "model.depth": Count(depth, at_most=500),
        **(size or {"model.width": Count(64, at_most=_WIDTH)}),
        "model.activation": Choice(activation, ACTIVATIONS),
        "model.skip": Switch(False),
        "model.layer_norm": Switch(False),
        "model.init": Choice(init, tuple(INITS)),
    }


_SEQ_LEN = Count(64, at_most=4096)

_ALL = (
    Recipe(
        name="charlm-rnn",
        summary="character RNN on real text: explodes in its first steps, clipping by norm 1 prevents it",
        builder="models.recurrent:build_charlm",
        lr=2.0,
        batch_size=16,
        settings=_charlm("rnn", "xavier"),
        steps=600,
        takes="600 steps, 10 s",
        text=True,
    ),
    Recipe(
        name="charlm-lstm",
        summary="the same text with an LSTM: gates keep it stable without clipping",
        builder="models.recurrent:build_charlm",
        lr=2.0,
        batch_size=16,
        settings=_charlm("lstm", "torch"),
        steps=600,
        takes="600 steps, 15 s",
        text=True,
    ),
    Recipe(
        name="charlm-gru",
        summary="the same text with a GRU: as stable as the LSTM, with one gate less",
        builder="models.recurrent:build_charlm",
        lr=2.0,
        batch_size=16,
        settings=_charlm("gru", "torch"),
        steps=600,
        takes="600 steps, 25 s",
        text=True,
    ),
    Recipe(
        name="charlm-transformer",
        summary="the same text with a small pre-norm transformer: gradients stay even over depth",
        builder="models.transformer:build_transformer",
        lr=3e-3,
        batch_size=16,
        settings={
            "model.width": Count(96, at_most=_WIDTH),
            "model.layers": Count(3, at_most=64),
            "model.heads": Count(4, at_most=64),
            "model.activation": Choice("gelu", ("gelu", "relu")),
            "model.skip": Switch(True),
            "model.layer_norm": Switch(True),
            "data.seq_len": _SEQ_LEN,
        },
        steps=300,
        takes="300 steps, 25 s",
        text=True,
    ),
    Recipe(
        name="depth-sigmoid",
        summary="20 sigmoid layers on digits: gradients vanish, activation=tanh or skip=true cures it",
        builder="models.deep_stacks:build_mlp",
        lr=0.1,
        batch_size=64,
        settings=_deep(20, "sigmoid", "xavier"),
        steps=1300,
        takes="1300 steps, 7 s",
    ),
    Recipe(
        name="depth-tanh",
        summary="30 tanh layers with torch's default init on digits: vanishes too, skip=true cures it",
        builder="models.deep_stacks:build_mlp",
        lr=0.1,
        batch_size=64,
        settings=_deep(30, "tanh", "torch"),
        steps=1200,
        takes="1200 steps, 11 s",
    ),
    Recipe(
        name="digits-conv",
        summary="8 convolutions with torch's default init on digits: vanishes too, skip=true cures it",
        builder="models.deep_stacks:build_conv",
        lr=0.1,
        batch_size=64,
        settings=_deep(9, "relu", "torch", size={"model.channels": Count(8, at_most=512)}),
        steps=400,
        takes="400 steps, 3 s",
    ),
    Recipe(
        name="temporal-order",
        summary="which of two symbols came first: an RNN explodes or forgets, clipping with omega solves it",
        builder="data.sequences:build_temporal_order",
        lr=0.01,
        batch_size=20,
        settings=_recurrent("rnn", "normal", hidden=50)
        | {"data.seq_len": Count(30, at_most=4096, at_least=10)},
        steps=5500,
        takes="5500 steps, 15 s; 20 s with omega",
    ),
    Recipe(
        name="adding-gates",
        summary="adding two far numbers: an RNN forgets the first, model.cell=lstm keeps and adds both",
        builder="data.sequences:build_adding",
        lr=0.01,
        batch_size=50,
        settings=_recurrent("rnn", "torch", hidden=64)
        | {"data.seq_len": Count(50, at_most=4096, at_least=2)},
        steps=1500,
        takes="1500 steps, 20 s",
        controls=MappingProxyType({"optimizer": "adam"}),
    ),
    Recipe(
        name="tiny-batch",
        summary="one digit a step at lr 0.3 is too noisy: accumulating 16 cures it, and so does lr/16",
        builder="models.deep_stacks:build_mlp",
        lr=0.3,
        batch_size=1,
        settings=_deep(4, "tanh", "xavier"),
        steps=2400,
        takes="2400 steps, 3 s",
    ),
    Recipe(
        name="fp16-underflow",
        summary="an autoencoder with a small loss: in fp16 every gradient is 0 until the loss is scaled",
        builder="models.autoencoder:build_autoencoder",
        lr=1e-3,
        batch_size=1024,
        settings={
            "model.depth": Count(2, at_most=100),
            "model.width": Count(64, at_most=_WIDTH),
            "model.activation": Choice("tanh", ACTIVATIONS),
            "model.layer_norm": Switch(False),
            "model.init": Choice("torch", tuple(INITS)),
        },
        steps=1000,
        takes="1000 steps, 8 s; 40 s in fp16",
        controls=MappingProxyType({"optimizer": "adam", "precision": "fp16:1,dynamic=off"}),
    ),
    Recipe(
        name="article-net",
        summary="the article's 784-128-10 net, repaired: learns one random batch by heart",
        builder="models.article_net:build_article_net",
        lr=0.01,
        batch_size=64,
        settings={
            "model.hidden": Count(128, at_most=_WIDTH),
            "model.activation": Choice("relu", ACTIVATIONS),
        },
        steps=10,
        takes="10 steps, under 1 s",
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _ALL})


def get_recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        RecipeError: If there is none of that name; the message lists the names, and the most similar one.
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
    builder: Callable[[Setup], Task] = getattr(import_module(f"vgrad.recipes.{module}"), function)
    return builder(setup)
