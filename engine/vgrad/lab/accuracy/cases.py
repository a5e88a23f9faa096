"""What a run is that verdicts are measured on, and how families of them are written. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Part = Literal["fit", "held-out"]

# Loss of a constant prediction; for temporal order, of one that knows only the nearer symbol.
TRIVIAL: Mapping[str, float] = {
    "digits": math.log(10),
    "text": 3.254,  # entropy of single characters, in nats
    "pixels": 0.0732e-3,  # a thousandth of the pixels' own variances, as the recipe's loss is of the error
    "adding": 1 / 6,
    "order": math.log(2),
}

BASELINE: Mapping[str, float] = {**TRIVIAL, "order": math.log(4)}
"""The loss of a constant prediction that a judge gets, as `vgrad.task.constant_loss` measures it."""

HELD_OUT = (
    "wide", "deep-norm", "conv-smooth", "orthogonal-text", "long-text", "relu-transformer", "stacked-order",
    "stacked-adding", "norm-autoencoder",
)  # fmt: skip
"""Families that no threshold was fitted to.

Chosen and committed before any run of theirs was trained: perceptrons of 96 units; deep ones with layer norm
alone; convolutions with smooth units, with and without layer norm; orthogonal RNNs on text; gated ones on
longer text; transformers with ReLU; two layers of a cell on temporal order and on the adding problem;
layer-normed autoencoders. Each is crossed with optimizers at rates from what learns to what is absurd, so
that there is something of every kind. Four earlier held-out parts (relu-deep, layer-norm, gru, transformer,
order; conv, lstm-sequence, activation, deep-autoencoder, large-text; norm-skip, stacked-text,
orthogonal-order, conv-parts, bottleneck; narrow, conv-units, relu-text, deep-text, relu-adding, squeezed) are
in the fitting part now: their errors had been looked at.
Verdicts on these were counted once, with the rules as they are: anyone who changes a rule after reading
that list of errors needs new families to count on.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        name: Its family, what is special about it, and its seed.
        family: What it is an example of.
        task: Key of `TRIVIAL`, with the length where it matters: losses compare within a task and number of
            steps.
        recipe: The recipe, and ``settings`` and ``options`` of its `RunConfig`.
        seed: Of weights and data.
        steps: Optimizer steps.
        settings: Fields of `RunConfig`.
        options: Settings of the recipe.
        dead_bias: What is added to all biases of hidden layers before the first step: below
            about -3 no ReLU unit opens any more.
    """

    name: str
    family: str
    task: str
    recipe: str
    seed: int
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    dead_bias: float = 0.0

    @property
    def part(self) -> Part:
        """Whether thresholds may be fitted to it."""
        return "held-out" if self.family in HELD_OUT else "fit"

    @property
    def trivial(self) -> float:
        """Loss of who learnt nothing."""
        return TRIVIAL[self.task.partition(" ")[0]]

    @property
    def baseline(self) -> float:
        """Loss of a constant prediction."""
        return BASELINE[self.task.partition(" ")[0]]


Steps = tuple[str, Mapping[str, Any]]
"""How steps are made: a word, and fields of `RunConfig`."""

SGD: Steps = ("sgd .1", {"lr": 0.1})
SGD_LARGE: Steps = ("sgd .5", {"lr": 0.5})
MOMENTUM: Steps = ("momentum .03", {"optimizer": "momentum:0.03"})
ADAM: Steps = ("adam .001", {"optimizer": "adam:0.001"})
MOMENTUM_LARGE: Steps = ("momentum 1", {"optimizer": "momentum:1"})
RMSPROP: Steps = ("rmsprop .001", {"optimizer": "rmsprop:0.001"})


def sgd(lr: float) -> Steps:
    """Plain SGD."""
    return f"sgd {lr:g}", {"lr": lr}


def digits(
    family: str,
    what: str,
    steps: Steps,
    seed: int,
    *,
    recipe: str = "depth-sigmoid",
    size: Mapping[str, Any] = MappingProxyType({"width": 24}),
    dead_bias: float = 0.0,
    **options: Any,
) -> Case:
    """A perceptron on digits; ``steps`` is the last word of its name."""
    return Case(
        f"{family} {what} {steps[0]} seed {seed}", family, "digits", recipe, seed, 320,
        {"batch_size": 24, **steps[1]}, {**size, **options}, dead_bias,
    )  # fmt: skip


def conv(family: str, what: str, steps: Steps, seed: int, **more: Any) -> Case:
    """A convolutional net on digits; ``more`` is as in `digits`."""
    return digits(family, what, steps, seed, recipe="digits-conv", size={"channels": 4}, **more)


def pixels(
    family: str,
    what: str,
    precision: str,
    seed: int,
    settings: Mapping[str, Any],
    **options: Any,
) -> Case:
    """An autoencoder on pixels."""
    return Case(
        f"{family} {what} {precision}", family, "pixels", "fp16-underflow", seed, 320,
        {"batch_size": 512, "precision": precision, **settings}, {"width": 24, **options},
    )  # fmt: skip


def text(
    family: str,
    cell: str,
    what: str,
    seed: int,
    settings: Mapping[str, Any],
    *,
    num_steps: int = 320,
    **options: Any,
) -> Case:
    """A recurrent model on text."""
    options = {"hidden": 24, "embed": 12, "seq_len": 20, **options}
    return Case(
        f"{family} {what} seed {seed}", family, f"text {options['seq_len']}", f"charlm-{cell}", seed,
        num_steps, {"batch_size": 8, **settings}, options,
    )  # fmt: skip


def transformer(
    family: str,
    what: str,
    seed: int,
    settings: Mapping[str, Any],
    *,
    num_steps: int = 280,
    **options: Any,
) -> Case:
    """A transformer on text."""
    options = {"width": 16, "heads": 2, "seq_len": 16, **options}
    return Case(
        f"{family} {what}", family, f"text {options['seq_len']}", "charlm-transformer", seed,
        num_steps, {"batch_size": 8, **settings}, options,
    )  # fmt: skip


def sequence(
    task: Literal["adding", "order"],
    cell: str,
    seq_len: int,
    what: str,
    seed: int,
    settings: Mapping[str, Any],
    *,
    family: str = "",
    num_steps: int = 480,
    **options: Any,
) -> Case:
    """A recurrent model on ``adding`` or ``order``; the task is its family unless ``family`` is given."""
    recipe = {"adding": "adding-gates", "order": "temporal-order"}[task]
    name = f"{task} {seq_len} {cell} {what} seed {seed}"
    return Case(
        f"{family} {name}".strip(), family or task, f"{task} {seq_len}", recipe, seed, num_steps,
        {"batch_size": 20, **settings}, {"cell": cell, "seq_len": seq_len, "hidden": 24, **options},
    )  # fmt: skip
