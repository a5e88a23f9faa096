"""The families that no rule is fitted to; how they were chosen stands at `HELD_OUT`. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from vgrad.calibration.cases import (
    ADAM,
    MOMENTUM,
    RMSPROP,
    SGD,
    SGD_LARGE,
    Case,
    Steps,
    conv,
    digits,
    pixels,
    sequence,
    sgd,
    text,
    transformer,
)  # fmt: skip


def held_out_cases() -> Iterator[Case]:
    """Every case of the held-out part."""
    for family in (_conv, _lstm_sequence, _activation, _deep_autoencoder, _large_text):
        yield from family()


_ADAM_FAST: Steps = ("adam .005", {"optimizer": "adam:0.005"})


def _conv() -> Iterator[Case]:
    kinds = (("relu", "he"), ("relu", "torch"), ("tanh", "xavier"), ("sigmoid", "xavier"))
    sizes = ((4, SGD), (4, _ADAM_FAST), (9, SGD), (9, _ADAM_FAST), (14, SGD))
    for seed, ((depth, steps), (activation, init)) in enumerate(product(sizes, kinds)):
        options: dict[str, Any] = {"depth": depth, "activation": activation, "init": init}
        yield conv("conv", f"depth {depth} {activation} {init}", steps, seed, **options)
    relu: dict[str, Any] = {"activation": "relu", "init": "he"}
    tanh: dict[str, Any] = {"activation": "tanh", "init": "xavier"}
    for seed, depth in enumerate((4, 9)):
        yield conv("conv", f"depth {depth}", sgd(1.0), 40 + seed, depth=depth, **relu)
        yield conv("conv", f"depth {depth}", sgd(10.0), 50 + seed, depth=depth, **relu)
        yield conv("conv", f"depth {depth} tanh", sgd(10.0), 60 + seed, depth=depth, **tanh)
    for depth, steps in product((4, 7), (SGD, _ADAM_FAST)):
        yield conv("conv", f"depth {depth} dead", steps, 70, dead_bias=-8.0, depth=depth, **relu)
    for steps in (MOMENTUM, RMSPROP):
        yield conv("conv", "depth 6", steps, 80, depth=6, **relu)
    yield conv("conv", "depth 8 skip", SGD, 81, depth=8, skip=True, activation="relu", init="torch")
    yield conv("conv", "depth 8 norm", SGD, 82, depth=8, layer_norm=True, **relu)


def _lstm_sequence() -> Iterator[Case]:
    for task, lengths in (("adding", (8, 12)), ("order", (12, 16))):
        for seq_len, seed in product(lengths, (0, 1)):
            for lr in (0.02, 0.7):
                settings = {"optimizer": f"adam:{lr:g}"}
                yield _lstm(task, seq_len, f"adam {lr:g}", seed, settings)
        for seed, lr in enumerate((1.0, 30.0)):
            yield _lstm(task, lengths[0], f"sgd {lr:g}", seed, {"optimizer": f"sgd:{lr:g}"})
    yield _lstm("order", 12, "two layers", 3, {"optimizer": "adam:0.01"}, layers=2)
    yield _lstm("adding", 8, "two layers", 3, {"optimizer": "adam:0.02"}, layers=2)


def _lstm(task: Any, seq_len: int, what: str, seed: int, settings: dict[str, Any], **options: Any) -> Case:
    family, num_steps = "lstm-sequence", 560
    return sequence(
        task,
        "lstm",
        seq_len,
        what,
        seed,
        settings,
        family=family,
        num_steps=num_steps,
        init="torch",
        **options,
    )


def _activation() -> Iterator[Case]:
    activations = ("leaky_relu", "elu", "selu")
    for seed, (activation, depth, steps) in enumerate(product(activations, (4, 10, 20), (SGD, ADAM))):
        options: dict[str, Any] = {"depth": depth, "activation": activation, "init": "xavier"}
        yield digits("activation", f"{activation} depth {depth}", steps, seed, **options)
    for seed, (activation, (depth, init)) in enumerate(
        product(activations, ((12, "torch"), (24, "torch"), (10, "he")))
    ):
        options = {"depth": depth, "activation": activation, "init": init}
        yield digits("activation", f"{activation} depth {depth} {init}", SGD, 30 + seed, **options)
    for seed, (activation, lr) in enumerate(product(activations, (3.0, 20.0))):
        options = {"depth": 6, "activation": activation, "init": "xavier"}
        yield digits("activation", f"{activation} depth 6", sgd(lr), 50 + seed, **options)
    for activation in activations:
        options = {"depth": 6, "activation": activation, "init": "orthogonal"}
        yield digits("activation", f"{activation} depth 6 orthogonal", SGD_LARGE, 60, **options)


def _deep_autoencoder() -> Iterator[Case]:
    adam = {"optimizer": "adam:0.003", "batch_size": 384}
    sizes = ((1, "tanh"), (1, "relu"), (3, "tanh"), (3, "gelu"))
    precisions = ("fp32", "fp16:1,dynamic=off")
    for seed, ((depth, activation), precision) in enumerate(product(sizes, precisions)):
        what = f"depth {depth} {activation}"
        yield pixels("deep-autoencoder", what, precision, seed, adam, depth=depth, activation=activation)
    for seed, depth in enumerate((6, 10)):
        what, sigmoid = f"depth {depth} sigmoid", {"depth": depth, "activation": "sigmoid", "init": "xavier"}
        yield pixels("deep-autoencoder", what, "fp32", 20 + seed, adam, **sigmoid)
    for seed, lr in enumerate((0.3, 3.0)):
        settings = {"optimizer": f"adam:{lr:g}"}
        yield pixels("deep-autoencoder", f"adam {lr:g}", "fp32", 30 + seed, settings, activation="tanh")


def _large_text() -> Iterator[Case]:
    parts = ((True, True), (True, False), (False, False))
    large: dict[str, Any] = {"width": 24, "heads": 4, "seq_len": 24, "layers": 5}
    for seed, ((skip, layer_norm), lr) in enumerate(product(parts, (3e-3, 0.1))):
        has = " ".join(word for word, is_on in (("skip", skip), ("norm", layer_norm)) if is_on) or "plain"
        what = f"transformer {has} adamw {lr:g}"
        yield transformer("large-text", what, seed, {"lr": lr}, skip=skip, layer_norm=layer_norm, **large)
    for seed, lr in enumerate((0.3, 30.0)):
        settings = {"optimizer": f"sgd:{lr:g}"}
        yield transformer("large-text", f"transformer sgd {lr:g}", 10 + seed, settings, **large)
    gru: dict[str, Any] = {"hidden": 40, "embed": 16, "seq_len": 24}
    for seed, (layers, lr) in enumerate(((1, 1.0), (1, 20.0), (2, 1.0), (2, 5.0), (2, 20.0), (2, 60.0))):
        what = f"gru {layers} layers sgd {lr:g}"
        yield text("large-text", "gru", what, seed, {"lr": lr}, layers=layers, **gru)
    for seed, lr in enumerate((3e-3, 0.5)):
        settings = {"optimizer": f"adam:{lr:g}"}
        yield text("large-text", "gru", f"gru adam {lr:g}", 20 + seed, settings, layers=2, **gru)
    yield text("large-text", "gru", "gru long", 25, {"optimizer": "adam:0.005"}, num_steps=700, **gru)
