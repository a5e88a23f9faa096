"""The runs that verdicts are measured on: short, small, and of many kinds. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

Part = Literal["fit", "held-out"]

# Loss of who ignores the inputs; for temporal order, of who knows only the nearer symbol.
TRIVIAL: Mapping[str, float] = {
    "digits": math.log(10),
    "text": 3.254,  # entropy of single characters, in nats
    "pixels": 0.5184e-3,  # a thousandth of the pixels' variance, as the recipe's loss is of the error
    "adding": 1 / 6,
    "order": math.log(2),
}

HELD_OUT = ("relu-deep", "layer-norm", "gru", "transformer", "order")
"""Families that no threshold was fitted to.

Chosen before any verdict was looked at, and so that each finding also occurs where nothing was
fitted: deep ReLU stacks vanish, die and explode at other scales than sigmoid and tanh; layer norm
changes what a gradient's size means; GRU and transformers are other architectures; temporal order
is the one task that is all about gradients through time.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        name: Its family, what is special about it, and its seed.
        family: What it is an example of.
        task: Key of `TRIVIAL`, with the length where it matters: losses compare within a task.
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


def all_cases() -> tuple[Case, ...]:
    """Every case, always in the same order and with the same name."""
    families = (
        _sigmoid, _tanh, _relu, _gelu, _autoencoder, _rnn, _lstm, _adding,
        _relu_deep, _layer_norm, _gru, _transformer, _order,
    )  # fmt: skip
    return tuple(case for family in families for case in family())


# How steps are made: (word, fields of RunConfig).
Steps = tuple[str, dict[str, Any]]
_SGD: Steps = ("sgd .1", {"lr": 0.1})
_SGD_LARGE: Steps = ("sgd .5", {"lr": 0.5})
_MOMENTUM: Steps = ("momentum .03", {"optimizer": "momentum:0.03"})
_ADAM: Steps = ("adam .001", {"optimizer": "adam:0.001"})
_MOMENTUM_LARGE: Steps = ("momentum 1", {"optimizer": "momentum:1"})
_RMSPROP: Steps = ("rmsprop .001", {"optimizer": "rmsprop:0.001"})


def _sgd(lr: float) -> Steps:
    return f"sgd {lr:g}", {"lr": lr}


def _digits(
    family: str,
    what: str,
    steps: tuple[str, dict[str, Any]],
    seed: int,
    *,
    dead_bias: float = 0.0,
    **options: Any,
) -> Case:
    options = {"width": 24, **options}
    return Case(
        f"{family} {what} {steps[0]} seed {seed}", family, "digits", "depth-sigmoid", seed, 320,
        {"batch_size": 24, **steps[1]}, options, dead_bias,
    )  # fmt: skip


def _sigmoid() -> Iterator[Case]:
    for seed, (depth, steps) in enumerate(product((2, 6, 10, 20), (_SGD, _SGD_LARGE, _ADAM, _MOMENTUM))):
        yield _digits("sigmoid", f"depth {depth}", steps, seed, depth=depth)
    for depth, init in product((6, 12), ("normal", "orthogonal")):
        yield _digits("sigmoid", f"depth {depth} {init}", _SGD, 40, depth=depth, init=init)
    for depth, steps in product((6, 14), (_SGD, _ADAM)):
        yield _digits("sigmoid", f"depth {depth} skip", steps, 41, depth=depth, skip=True)


def _tanh() -> Iterator[Case]:
    for seed, (depth, init, steps) in enumerate(product((3, 8, 20), ("xavier", "torch"), (_SGD, _ADAM))):
        yield _digits("tanh", f"depth {depth} {init}", steps, seed, depth=depth, init=init, activation="tanh")
    for seed, (depth, lr) in enumerate(product((4, 12), (2.0, 8.0, 30.0))):
        yield _digits("tanh", f"depth {depth}", _sgd(lr), 60 + seed, depth=depth, activation="tanh")
    for depth, steps in product((12, 24), (_SGD, _RMSPROP)):
        options: dict[str, Any] = {"depth": depth, "activation": "tanh", "init": "torch"}
        yield _digits("tanh", f"depth {depth} torch skip", steps, 70, **options, skip=True)
        yield _digits("tanh", f"depth {depth} torch", steps, 71, **options)


def _relu() -> Iterator[Case]:
    common: dict[str, Any] = {"activation": "relu", "init": "he"}
    for seed, (depth, steps) in enumerate(
        product(
            (2, 5),
            (_SGD, _ADAM, _MOMENTUM, _sgd(1.0), _sgd(5.0), _MOMENTUM_LARGE),
        )
    ):
        yield _digits("relu", f"depth {depth}", steps, seed, depth=depth, **common)
    for seed, (depth, steps) in enumerate(product((3, 4, 6), (_SGD, _ADAM))):
        yield _digits("relu", f"depth {depth} dead", steps, 80 + seed, dead_bias=-8.0, depth=depth, **common)


def _gelu() -> Iterator[Case]:
    for seed, (depth, init, steps) in enumerate(product((4, 16), ("xavier", "he"), (_SGD, _ADAM, _sgd(3.0)))):
        yield _digits("gelu", f"depth {depth} {init}", steps, seed, depth=depth, init=init, activation="gelu")


def _autoencoder() -> Iterator[Case]:
    precisions = ("fp32", "fp16:65536", "fp16:1,dynamic=off")
    for seed, (activation, precision) in enumerate(product(("tanh", "relu"), precisions)):
        yield Case(
            f"autoencoder {activation} {precision}", "autoencoder", "pixels", "fp16-underflow", seed, 320,
            {"batch_size": 512, "precision": precision, "optimizer": "adam:0.003"},
            {"width": 24, "activation": activation},
        )  # fmt: skip


_TEXT = {"hidden": 24, "embed": 12, "seq_len": 20}


def _text(family: str, cell: str, what: str, seed: int, settings: Mapping[str, Any], **options: Any) -> Case:
    return Case(
        f"{family} {what} seed {seed}", family, "text 20", f"charlm-{cell}", seed, 320,
        {"batch_size": 8, **settings}, {**_TEXT, **options},
    )  # fmt: skip


def _rnn() -> Iterator[Case]:
    for seed, lr in product((0, 1), (0.5, 2.0, 4.0, 8.0, 32.0)):
        yield _text("rnn", "rnn", f"sgd {lr:g}", seed, {"lr": lr})
    for seed, lr in enumerate((1.0, 4.0, 32.0)):
        yield _text("rnn", "rnn", f"sgd {lr:g} clip 1", seed, {"lr": lr, "clip": "norm:1"})
    for seed, lr in enumerate((0.3, 1.0, 2.0, 4.0)):
        yield _text("rnn", "rnn", f"relu sgd {lr:g}", seed, {"lr": lr}, activation="relu")
        yield _text("rnn", "rnn", f"wide sgd {lr:g}", seed, {"lr": lr}, hidden=64)
    yield _text("rnn", "rnn", "adam", 0, {"optimizer": "adam:0.005"})
    yield _text("rnn", "rnn", "adam large", 0, {"optimizer": "adam:0.3"})
    yield _text("rnn", "rnn", "two layers", 0, {"lr": 1.0}, layers=2)
    yield _text("rnn", "rnn", "momentum", 0, {"optimizer": "momentum:0.5"})


def _lstm() -> Iterator[Case]:
    for seed, lr in product((0, 1), (1.0, 4.0, 16.0, 64.0)):
        yield _text("lstm", "lstm", f"sgd {lr:g}", seed, {"lr": lr})
    yield _text("lstm", "lstm", "adam", 0, {"optimizer": "adam:0.005"})
    yield _text("lstm", "lstm", "two layers", 0, {"optimizer": "adam:0.01"}, layers=2)


def _sequence(
    task: str,
    recipe: str,
    cell: str,
    seq_len: int,
    what: str,
    seed: int,
    settings: Mapping[str, Any],
    **options: Any,
) -> Case:
    return Case(
        f"{task} {seq_len} {cell} {what} seed {seed}", task, f"{task} {seq_len}", recipe, seed, 480,
        {"batch_size": 20, **settings}, {"cell": cell, "seq_len": seq_len, "hidden": 24, **options},
    )  # fmt: skip


def _adding() -> Iterator[Case]:
    for seq_len, cell, seed in product((10, 20), ("rnn", "gru"), (0, 1)):
        yield _sequence("adding", "adding-gates", cell, seq_len, "adam", seed, {"optimizer": "adam:0.01"})
    for cell in ("rnn", "gru"):
        yield _sequence("adding", "adding-gates", cell, 10, "sgd 3", 2, {"optimizer": "sgd:3"})


def _relu_deep() -> Iterator[Case]:
    for seed, (depth, init, steps) in enumerate(product((10, 20), ("he", "xavier", "torch"), (_SGD, _ADAM))):
        yield _digits(
            "relu-deep", f"depth {depth} {init}", steps, seed, depth=depth, init=init, activation="relu"
        )
    common: dict[str, Any] = {"activation": "relu", "init": "he"}
    for seed, (depth, lr) in enumerate(product((10, 20), (0.5, 10.0))):
        yield _digits("relu-deep", f"depth {depth}", _sgd(lr), 60 + seed, depth=depth, **common)
    for seed, depth in product((0, 1), (10, 20)):
        yield _digits("relu-deep", f"depth {depth} narrow", _SGD, seed, depth=depth, width=4, **common)
    for depth, steps in product((10, 16), (_SGD, _ADAM)):
        yield _digits("relu-deep", f"depth {depth} dead", steps, 80, dead_bias=-8.0, depth=depth, **common)
    for depth in (10, 20):
        yield _digits("relu-deep", f"depth {depth} skip", _SGD, 81, depth=depth, skip=True, **common)


def _layer_norm() -> Iterator[Case]:
    for seed, (activation, depth, steps) in enumerate(
        product(("sigmoid", "relu"), (4, 12), (_SGD, _ADAM, _sgd(10.0)))
    ):
        what = f"{activation} depth {depth}"
        yield _digits("layer-norm", what, steps, seed, depth=depth, activation=activation, layer_norm=True)


def _gru() -> Iterator[Case]:
    for seed, lr in product((0, 1), (0.5, 8.0, 32.0, 128.0)):
        yield _text("gru", "gru", f"sgd {lr:g}", seed, {"lr": lr})
    for seed, lr in enumerate((0.005, 0.5)):
        yield _text("gru", "gru", f"adam {lr:g}", seed, {"optimizer": f"adam:{lr:g}"})


_TRANSFORMER = {"width": 16, "heads": 2, "seq_len": 16}


def _transformer() -> Iterator[Case]:
    parts = ((True, True), (True, False), (False, True), (False, False))
    sizes = ((2, 3e-3), (4, 3e-3), (2, 0.1))
    for seed, ((skip, layer_norm), (layers, lr)) in enumerate(product(parts, sizes)):
        has = " ".join(word for word, is_on in (("skip", skip), ("norm", layer_norm)) if is_on) or "plain"
        yield Case(
            f"transformer {layers} layers {has} adamw {lr:g}", "transformer", "text 16",
            "charlm-transformer", seed, 280, {"batch_size": 8, "lr": lr},
            {**_TRANSFORMER, "layers": layers, "skip": skip, "layer_norm": layer_norm},
        )  # fmt: skip
    for seed, lr in enumerate((0.1, 2.0, 10.0)):
        yield Case(
            f"transformer 3 layers sgd {lr:g}", "transformer", "text 16", "charlm-transformer", seed,
            280, {"batch_size": 8, "optimizer": f"sgd:{lr:g}"}, {**_TRANSFORMER, "layers": 3},
        )  # fmt: skip


def _order() -> Iterator[Case]:
    for seq_len, cell, seed in product((10, 20), ("rnn", "gru"), (0, 1)):
        yield _sequence("order", "temporal-order", cell, seq_len, "adam", seed, {"optimizer": "adam:0.01"})
    for seed, (cell, steps) in enumerate(
        product(("rnn", "gru"), (("sgd .1", {"lr": 0.1}), ("sgd 1", {"lr": 1.0}), ("sgd 5", {"lr": 5.0})))
    ):
        yield _sequence("order", "temporal-order", cell, 10, steps[0], 2 + seed, steps[1])
    settings = {"optimizer": "adam:0.003", "clip": "norm:1", "omega": "4"}
    yield _sequence("order", "temporal-order", "rnn", 20, "omega", 0, settings)
    yield _sequence("order", "temporal-order", "rnn", 20, "adam slow", 0, {"optimizer": "adam:0.003"})
