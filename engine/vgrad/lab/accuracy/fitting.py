"""The families that rules are fitted to. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from vgrad.lab.accuracy.cases import (
    ADAM,
    MOMENTUM,
    MOMENTUM_LARGE,
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

_UNSCALED = "fp16:1,dynamic=off"
_PRECISIONS = ("fp32", "fp16:65536", _UNSCALED)


def fitting_cases() -> Iterator[Case]:
    """Every case of the fitting part."""
    for family in (
        _sigmoid, _tanh, _relu, _gelu, _autoencoder, _rnn, _lstm, _adding,
        _relu_deep, _layer_norm, _gru, _transformer, _order,
        _conv, _lstm_sequence, _activation, _deep_autoencoder, _large_text,
    ):  # fmt: skip
        yield from family()


def _sigmoid() -> Iterator[Case]:
    for seed, (depth, steps) in enumerate(product((2, 6, 10, 20), (SGD, SGD_LARGE, ADAM, MOMENTUM))):
        yield digits("sigmoid", f"depth {depth}", steps, seed, depth=depth)
    for depth, init in product((6, 12), ("normal", "orthogonal")):
        yield digits("sigmoid", f"depth {depth} {init}", SGD, 40, depth=depth, init=init)
    for depth, steps in product((6, 14), (SGD, ADAM)):
        yield digits("sigmoid", f"depth {depth} skip", steps, 41, depth=depth, skip=True)


def _tanh() -> Iterator[Case]:
    for seed, (depth, init, steps) in enumerate(product((3, 8, 20), ("xavier", "torch"), (SGD, ADAM))):
        yield digits("tanh", f"depth {depth} {init}", steps, seed, depth=depth, init=init, activation="tanh")
    for seed, (depth, lr) in enumerate(product((4, 12), (2.0, 8.0, 30.0))):
        yield digits("tanh", f"depth {depth}", sgd(lr), 60 + seed, depth=depth, activation="tanh")
    for depth, steps in product((12, 24), (SGD, RMSPROP)):
        options: dict[str, Any] = {"depth": depth, "activation": "tanh", "init": "torch"}
        yield digits("tanh", f"depth {depth} torch skip", steps, 70, **options, skip=True)
        yield digits("tanh", f"depth {depth} torch", steps, 71, **options)


def _relu() -> Iterator[Case]:
    common: dict[str, Any] = {"activation": "relu", "init": "he"}
    for seed, (depth, steps) in enumerate(
        product(
            (2, 5),
            (SGD, ADAM, MOMENTUM, sgd(1.0), sgd(5.0), MOMENTUM_LARGE),
        )
    ):
        yield digits("relu", f"depth {depth}", steps, seed, depth=depth, **common)
    for seed, (depth, steps) in enumerate(product((3, 4, 6), (SGD, ADAM))):
        yield digits("relu", f"depth {depth} dead", steps, 80 + seed, dead_bias=-8.0, depth=depth, **common)


def _gelu() -> Iterator[Case]:
    for seed, (depth, init, steps) in enumerate(product((4, 16), ("xavier", "he"), (SGD, ADAM, sgd(3.0)))):
        yield digits("gelu", f"depth {depth} {init}", steps, seed, depth=depth, init=init, activation="gelu")
    for depth in (2, 6):
        noisy = ("noisy", {"lr": 0.1, "batch_size": 2})
        yield digits("gelu", f"depth {depth}", noisy, 20, depth=depth, init="he", activation="gelu")


def _autoencoder() -> Iterator[Case]:
    adam = {"optimizer": "adam:0.003"}
    for seed, (activation, precision) in enumerate(product(("tanh", "relu"), _PRECISIONS)):
        yield pixels("autoencoder", activation, precision, seed, adam, activation=activation)
    for seed, (activation, precision) in enumerate(product(("tanh", "gelu"), ("fp32", _UNSCALED))):
        settings = {"optimizer": "adam:0.001", "batch_size": 1024}
        yield pixels(
            "autoencoder", f"{activation} large batch", precision, seed, settings, activation=activation
        )
    for seed, precision in enumerate(("fp32", _UNSCALED)):
        settings = {"optimizer": "momentum:30"}
        yield pixels("autoencoder", "tanh momentum", precision, seed, settings, activation="tanh")


def _rnn() -> Iterator[Case]:
    for seed, lr in product((0, 1), (0.5, 2.0, 4.0, 8.0, 32.0)):
        yield text("rnn", "rnn", f"sgd {lr:g}", seed, {"lr": lr})
    for seed, lr in enumerate((1.0, 4.0, 32.0)):
        yield text("rnn", "rnn", f"sgd {lr:g} clip 1", seed, {"lr": lr, "clip": "norm:1"})
    for seed, lr in enumerate((0.3, 1.0, 2.0, 4.0)):
        yield text("rnn", "rnn", f"relu sgd {lr:g}", seed, {"lr": lr}, activation="relu")
        yield text("rnn", "rnn", f"wide sgd {lr:g}", seed, {"lr": lr}, hidden=64)
    yield text("rnn", "rnn", "adam", 0, {"optimizer": "adam:0.005"})
    yield text("rnn", "rnn", "adam large", 0, {"optimizer": "adam:0.3"})
    yield text("rnn", "rnn", "two layers", 0, {"lr": 1.0}, layers=2)
    yield text("rnn", "rnn", "momentum", 0, {"optimizer": "momentum:0.5"})
    yield text("rnn", "rnn", "long clip 1", 10, {"lr": 2.0, "clip": "norm:1"}, num_steps=1000)
    tamed = {"lr": 2.0, "clip": "norm:1"}  # what learning is on this task
    yield text("rnn", "rnn", "long tamed", 14, tamed, num_steps=640, hidden=64, seq_len=40)
    for seed, lr in product((11, 12, 13), (2.0, 3.0)):
        yield text("rnn", "rnn", f"long sgd {lr:g}", seed, {"lr": lr}, num_steps=640, hidden=64, seq_len=40)


def _lstm() -> Iterator[Case]:
    for seed, lr in product((0, 1), (1.0, 4.0, 16.0, 64.0)):
        yield text("lstm", "lstm", f"sgd {lr:g}", seed, {"lr": lr})
    yield text("lstm", "lstm", "adam", 0, {"optimizer": "adam:0.005"})
    yield text("lstm", "lstm", "two layers", 0, {"optimizer": "adam:0.01"}, layers=2)
    for seed, lr in enumerate((8.0, 12.0, 24.0)):
        yield text("lstm", "lstm", f"wide sgd {lr:g}", 20 + seed, {"lr": lr}, hidden=40)


def _adding() -> Iterator[Case]:
    for seq_len, cell, seed in product((10, 20), ("rnn", "gru"), (0, 1)):
        yield sequence("adding", cell, seq_len, "adam", seed, {"optimizer": "adam:0.01"})
    for cell in ("rnn", "gru"):
        yield sequence("adding", cell, 10, "sgd 3", 2, {"optimizer": "sgd:3"})
    clipped = {"optimizer": "adam:0.01", "clip": "norm:1"}
    for seq_len, seed in product((14, 20, 26), (10, 11)):
        yield sequence("adding", "rnn", seq_len, "clip", seed, clipped, num_steps=640)
    for seq_len in (14, 26):
        yield sequence("adding", "rnn", seq_len, "normal", 12, clipped, num_steps=640, init="normal")
        yield sequence("adding", "gru", seq_len, "clip", 12, clipped, num_steps=640)


def _relu_deep() -> Iterator[Case]:
    for seed, (depth, init, steps) in enumerate(product((10, 20), ("he", "xavier", "torch"), (SGD, ADAM))):
        yield digits(
            "relu-deep", f"depth {depth} {init}", steps, seed, depth=depth, init=init, activation="relu"
        )
    common: dict[str, Any] = {"activation": "relu", "init": "he"}
    for seed, (depth, lr) in enumerate(product((10, 20), (0.5, 10.0))):
        yield digits("relu-deep", f"depth {depth}", sgd(lr), 60 + seed, depth=depth, **common)
    for seed, depth in product((0, 1), (10, 20)):
        yield digits("relu-deep", f"depth {depth} narrow", SGD, seed, depth=depth, width=4, **common)
    for depth, steps in product((10, 16), (SGD, ADAM)):
        yield digits("relu-deep", f"depth {depth} dead", steps, 80, dead_bias=-8.0, depth=depth, **common)
    for depth in (10, 20):
        yield digits("relu-deep", f"depth {depth} skip", SGD, 81, depth=depth, skip=True, **common)
    for seed, (depth, init) in enumerate(product((14, 17), ("he", "xavier", "torch"))):
        options: dict[str, Any] = {"depth": depth, "init": init, "activation": "relu"}
        yield digits("relu-deep", f"depth {depth} {init}", SGD, 90 + seed, **options)
        yield digits("relu-deep", f"depth {depth} {init}", RMSPROP, 90 + seed, **options)
    for depth in (12, 15):
        yield digits("relu-deep", f"depth {depth} dead", SGD, 82, dead_bias=-4.0, depth=depth, **common)


def _layer_norm() -> Iterator[Case]:
    for seed, (activation, depth, steps) in enumerate(
        product(("sigmoid", "relu"), (4, 12), (SGD, ADAM, sgd(10.0)))
    ):
        what = f"{activation} depth {depth}"
        yield digits("layer-norm", what, steps, seed, depth=depth, activation=activation, layer_norm=True)
    for seed, (activation, lr) in enumerate(product(("tanh", "relu", "gelu"), (1.0, 4.0, 30.0))):
        what = f"{activation} depth 6"
        yield digits(
            "layer-norm", what, sgd(lr), 20 + seed, depth=6, activation=activation, init="he", layer_norm=True
        )


def _gru() -> Iterator[Case]:
    for seed, lr in product((0, 1), (0.5, 8.0, 32.0, 128.0)):
        yield text("gru", "gru", f"sgd {lr:g}", seed, {"lr": lr})
    for seed, lr in enumerate((0.005, 0.5)):
        yield text("gru", "gru", f"adam {lr:g}", seed, {"optimizer": f"adam:{lr:g}"})
    for seed, lr in enumerate((2.0, 6.0, 10.0, 16.0)):
        yield text("gru", "gru", f"wide sgd {lr:g}", 20 + seed, {"lr": lr}, hidden=40)
    for seed, lr in enumerate((0.05, 0.2)):
        yield text("gru", "gru", f"adam {lr:g}", 30 + seed, {"optimizer": f"adam:{lr:g}"})
    yield text("gru", "gru", "long", 40, {"optimizer": "adam:0.005"}, num_steps=1000)


def _transformer() -> Iterator[Case]:
    parts = ((True, True), (True, False), (False, True), (False, False))
    sizes = ((2, 3e-3), (4, 3e-3), (2, 0.1))
    for seed, ((skip, layer_norm), (layers, lr)) in enumerate(product(parts, sizes)):
        has = " ".join(word for word, is_on in (("skip", skip), ("norm", layer_norm)) if is_on) or "plain"
        what = f"{layers} layers {has} adamw {lr:g}"
        options = {"layers": layers, "skip": skip, "layer_norm": layer_norm}
        yield transformer("transformer", what, seed, {"lr": lr}, **options)
    for seed, lr in enumerate((0.1, 2.0, 10.0)):
        what = f"3 layers sgd {lr:g}"
        yield transformer("transformer", what, seed, {"optimizer": f"sgd:{lr:g}"}, layers=3)
    for layers, lr in product((1, 6), (3e-3, 1e-2)):
        what = f"{layers} layers plain adamw {lr:g}"
        yield transformer("transformer", what, 30, {"lr": lr}, layers=layers, skip=False, layer_norm=False)
    yield transformer("transformer", "2 layers long", 31, {"lr": 3e-3}, num_steps=800, layers=2)
    for lr in (0.03, 0.3):
        yield transformer(
            "transformer", f"2 layers skip adamw {lr:g}", 32, {"lr": lr}, layers=2, layer_norm=False
        )


def _order() -> Iterator[Case]:
    for seq_len, cell, seed in product((10, 20), ("rnn", "gru"), (0, 1)):
        yield sequence("order", cell, seq_len, "adam", seed, {"optimizer": "adam:0.01"})
    for seed, (cell, steps) in enumerate(
        product(("rnn", "gru"), (("sgd .1", {"lr": 0.1}), ("sgd 1", {"lr": 1.0}), ("sgd 5", {"lr": 5.0})))
    ):
        yield sequence("order", cell, 10, steps[0], 2 + seed, steps[1])
    settings = {"optimizer": "adam:0.003", "clip": "norm:1", "omega": "4"}
    yield sequence("order", "rnn", 20, "omega", 0, settings)
    yield sequence("order", "rnn", 20, "adam slow", 0, {"optimizer": "adam:0.003"})
    slow: Steps = ("adam", {"optimizer": "adam:0.003"})
    for seq_len, (word, how) in product((20, 30, 40), (SGD, slow)):
        yield sequence("order", "rnn", seq_len, f"clip {word}", 10, {**how, "clip": "norm:1"}, num_steps=640)
    for seq_len in (30, 40):
        yield sequence("order", "gru", seq_len, "adam", 10, {"optimizer": "adam:0.01"}, num_steps=640)


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
                yield _gated(task, seq_len, f"adam {lr:g}", seed, settings)
        for seed, lr in enumerate((1.0, 30.0)):
            yield _gated(task, lengths[0], f"sgd {lr:g}", seed, {"optimizer": f"sgd:{lr:g}"})
    yield _gated("order", 12, "two layers", 3, {"optimizer": "adam:0.01"}, layers=2)
    yield _gated("adding", 8, "two layers", 3, {"optimizer": "adam:0.02"}, layers=2)


def _gated(task: Any, seq_len: int, what: str, seed: int, settings: dict[str, Any], **options: Any) -> Case:
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
