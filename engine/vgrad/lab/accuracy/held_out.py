"""The families that no rule is fitted to; how they were chosen stands at `HELD_OUT`. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from vgrad.lab.accuracy.cases import Case, conv, digits, pixels, sequence, text, transformer
from vgrad.lab.accuracy.rates import at_rates


def held_out_cases() -> Iterator[Case]:
    """Every case of the held-out part."""
    for family in (
        _wide, _deep_norm, _conv_smooth, _orthogonal_text, _long_text, _relu_transformer, _stacked_order,
        _stacked_adding, _norm_autoencoder,
    ):  # fmt: skip
        yield from family()


def _wide() -> Iterator[Case]:
    steps = at_rates(sgd=(0.05, 4.0), momentum=(0.02,), adam=(0.001, 0.2), rmsprop=(0.1,))
    kinds = ((2, "gelu", "he"), (7, "relu", "he"), (16, "tanh", "torch"), (12, "sigmoid", "xavier"))
    for seed, (how, (depth, activation, init)) in enumerate(product(steps, kinds)):
        what = f"{activation} {init} depth {depth}"
        options: dict[str, Any] = {"depth": depth, "activation": activation, "init": init}
        yield digits("wide", what, how, seed, size={"width": 96}, **options)
    dead: dict[str, Any] = {"activation": "relu", "init": "he", "dead_bias": -12.0}
    for seed, (how, depth) in enumerate(product(at_rates(sgd=(0.05,), momentum=(0.02,)), (3, 5))):
        yield digits("wide", f"dead depth {depth}", how, 40 + seed, size={"width": 96}, depth=depth, **dead)


def _deep_norm() -> Iterator[Case]:
    steps = at_rates(sgd=(0.1, 30.0), adam=(0.003, 0.5), momentum=(2.0,))
    for seed, (how, (depth, activation)) in enumerate(
        product(steps, ((12, "tanh"), (18, "leaky_relu"), (9, "sigmoid")))
    ):
        parts: dict[str, Any] = {"depth": depth, "activation": activation, "layer_norm": True}
        yield digits("deep-norm", f"{activation} depth {depth}", how, seed, init="xavier", **parts)


def _conv_smooth() -> Iterator[Case]:
    steps = at_rates(sgd=(0.1, 10.0), adam=(0.002, 0.4), rmsprop=(0.05,))
    kinds = ((6, "tanh", True), (11, "tanh", False), (8, "gelu", True), (13, "elu", False))
    for seed, (how, (depth, activation, layer_norm)) in enumerate(product(steps, kinds)):
        what = f"{activation} depth {depth}" + (" norm" if layer_norm else "")
        parts: dict[str, Any] = {"depth": depth, "activation": activation, "layer_norm": layer_norm}
        yield conv("conv-smooth", what, how, seed, init="torch", **parts)


def _orthogonal_text() -> Iterator[Case]:
    steps = at_rates(sgd=(0.5, 3.0, 30.0), momentum=(1.0,), adam=(0.002, 0.05, 0.8))
    for seed, ((how, settings), clip) in enumerate(product(steps, ("off", "norm:1"))):
        what = how + ("" if clip == "off" else " clipped")
        options: dict[str, Any] = {"init": "orthogonal", "hidden": 32}
        yield text("orthogonal-text", "rnn", what, seed, {**settings, "clip": clip}, **options)


def _long_text() -> Iterator[Case]:
    steps = at_rates(sgd=(2.0, 50.0), momentum=(4.0,), adam=(0.005, 0.3), rmsprop=(0.1,))
    for seed, ((how, settings), cell) in enumerate(product(steps, ("lstm", "gru"))):
        yield text("long-text", cell, f"{cell} {how}", seed, settings, seq_len=32, hidden=32)


def _relu_transformer() -> Iterator[Case]:
    steps = at_rates(adamw=(0.002, 0.2), sgd=(0.2, 20.0), momentum=(0.05,))
    for seed, ((how, settings), (layers, skip, layer_norm)) in enumerate(
        product(steps, ((2, True, True), (4, True, False), (5, False, False)))
    ):
        parts = "".join(word for word, is_on in ((" skip", skip), (" norm", layer_norm)) if is_on)
        options: dict[str, Any] = {"layers": layers, "skip": skip, "layer_norm": layer_norm}
        what = f"{layers} layers{parts} {how}"
        yield transformer("relu-transformer", what, seed, settings, activation="relu", width=24, **options)


def _stacked_order() -> Iterator[Case]:
    steps = at_rates(adam=(0.005, 0.3), sgd=(0.5, 10.0), momentum=(0.5,))
    for seed, ((how, settings), (cell, seq_len)) in enumerate(
        product(steps, (("rnn", 12), ("gru", 12), ("rnn", 24)))
    ):
        options: dict[str, Any] = {"layers": 2, "num_steps": 600}
        yield sequence("order", cell, seq_len, how, seed, settings, family="stacked-order", **options)
    settings = {"optimizer": "adam:0.005"}  # what shows that it can be learnt
    yield sequence("order", "lstm", 24, "adam", 30, settings, family="stacked-order", num_steps=600)


def _stacked_adding() -> Iterator[Case]:
    steps = at_rates(adam=(0.005, 0.5), sgd=(0.2, 5.0))
    for seed, ((how, settings), (cell, seq_len)) in enumerate(
        product(steps, (("gru", 9), ("rnn", 9), ("rnn", 18)))
    ):
        options: dict[str, Any] = {"layers": 2, "num_steps": 600}
        yield sequence("adding", cell, seq_len, how, seed, settings, family="stacked-adding", **options)
    settings = {"optimizer": "adam:0.01"}  # what shows that it can be learnt
    yield sequence("adding", "gru", 18, "adam", 30, settings, family="stacked-adding", num_steps=600)


def _norm_autoencoder() -> Iterator[Case]:
    steps = at_rates(adam=(0.003, 0.5), rmsprop=(0.002, 0.2), momentum=(50.0,))
    for seed, ((word, settings), (depth, activation)) in enumerate(
        product(steps, ((2, "relu"), (5, "tanh"), (9, "sigmoid")))
    ):
        options: dict[str, Any] = {"depth": depth, "activation": activation, "layer_norm": True}
        what = f"{activation} depth {depth} {word}"
        yield pixels("norm-autoencoder", what, "fp32", seed, settings, **options)
    for seed, (precision, depth) in enumerate(product(("fp16:1,dynamic=off", "fp16:65536"), (2, 4))):
        options = {"depth": depth, "activation": "tanh", "layer_norm": False, "width": 40}
        settings = {"optimizer": "adam:0.002"}
        yield pixels("norm-autoencoder", f"tanh depth {depth}", precision, 20 + seed, settings, **options)
