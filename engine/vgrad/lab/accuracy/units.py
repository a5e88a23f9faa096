"""Families with other units, other widths and more layers than the first ones. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from vgrad.lab.accuracy.cases import Case, conv, digits, pixels, sequence, text, transformer
from vgrad.lab.accuracy.rates import at_rates


def unit_cases() -> Iterator[Case]:
    """Every case of these families; rules are fitted to them, too."""
    for family in (_narrow, _conv_units, _relu_text, _deep_text, _relu_adding, _squeezed):
        yield from family()


def _narrow() -> Iterator[Case]:
    steps = at_rates(sgd=(0.1, 2.0), momentum=(0.03,), adam=(0.003, 0.3))
    kinds = ((6, "relu", "he"), (14, "relu", "torch"), (18, "tanh", "torch"), (9, "sigmoid", "xavier"))
    for seed, (how, (depth, activation, init)) in enumerate(product(steps, kinds)):
        what = f"{activation} {init} depth {depth}"
        options: dict[str, Any] = {"depth": depth, "activation": activation, "init": init}
        yield digits("narrow", what, how, seed, size={"width": 12}, **options)
    for seed, (how, depth) in enumerate(product(at_rates(sgd=(0.1,), adam=(0.003,)), (4, 7))):
        dead: dict[str, Any] = {"activation": "relu", "init": "he", "dead_bias": -8.0}
        yield digits("narrow", f"dead depth {depth}", how, 30 + seed, size={"width": 12}, depth=depth, **dead)


def _conv_units() -> Iterator[Case]:
    steps = at_rates(sgd=(0.1, 6.0), adam=(0.003, 0.5), rmsprop=(0.001,))
    kinds = ((5, "elu", "he"), (10, "leaky_relu", "torch"), (12, "gelu", "xavier"), (7, "selu", "torch"))
    for seed, (how, (depth, activation, init)) in enumerate(product(steps, kinds)):
        options: dict[str, Any] = {"depth": depth, "activation": activation, "init": init}
        yield conv("conv-units", f"{activation} {init} depth {depth}", how, seed, **options)


def _relu_text() -> Iterator[Case]:
    steps = at_rates(sgd=(0.3, 1.0, 5.0), momentum=(0.05,), adam=(0.003, 0.2))
    for seed, ((how, settings), (init, clip)) in enumerate(
        product(steps, (("orthogonal", "off"), ("xavier", "norm:1"), ("torch", "off")))
    ):
        settings = {**settings, "clip": clip}
        what = f"{init} {how}" + ("" if clip == "off" else " clipped")
        yield text("relu-text", "rnn", what, seed, settings, activation="relu", init=init)


def _deep_text() -> Iterator[Case]:
    steps = at_rates(adam=(0.003, 0.1), sgd=(1.0, 20.0))
    for seed, (how, settings) in enumerate(steps):
        yield text("deep-text", "gru", f"gru 3 layers {how}", seed, settings, layers=3)
        yield text("deep-text", "lstm", f"lstm norm {how}", 10 + seed, settings, layer_norm=True)
    for seed, ((how, settings), (skip, layer_norm)) in enumerate(
        product(at_rates(adamw=(0.003, 0.3), sgd=(0.3,)), ((True, True), (False, True), (False, False)))
    ):
        parts = "".join(word for word, is_on in ((" skip", skip), (" norm", layer_norm)) if is_on)
        options: dict[str, Any] = {"layers": 7, "skip": skip, "layer_norm": layer_norm}
        yield transformer("deep-text", f"transformer 7 layers{parts} {how}", 20 + seed, settings, **options)


def _relu_adding() -> Iterator[Case]:
    steps = at_rates(adam=(0.003, 0.02, 0.7), sgd=(0.1, 3.0))
    for seed, ((how, settings), (seq_len, activation, init)) in enumerate(
        product(steps, ((6, "relu", "orthogonal"), (12, "relu", "torch"), (12, "tanh", "normal")))
    ):
        what = f"{activation} {init} {how}"
        options: dict[str, Any] = {"activation": activation, "init": init, "num_steps": 520}
        yield sequence("adding", "rnn", seq_len, what, seed, settings, family="relu-adding", **options)
    for seed, seq_len in enumerate((6, 12)):  # what shows that it can be learnt
        settings = {"optimizer": "adam:0.02"}
        yield sequence(
            "adding", "gru", seq_len, "adam", 30 + seed, settings, family="relu-adding", num_steps=520
        )


def _squeezed() -> Iterator[Case]:
    kinds = ((2, "elu"), (4, "selu"), (7, "sigmoid"))
    for seed, ((word, settings), (depth, activation)) in enumerate(
        product(at_rates(adam=(0.003, 0.3), rmsprop=(0.001,), momentum=(30.0,)), kinds)
    ):
        options: dict[str, Any] = {"depth": depth, "activation": activation}
        yield pixels("squeezed", f"{activation} depth {depth} {word}", "fp32", seed, settings, **options)
    for seed, (precision, (depth, activation)) in enumerate(
        product(("fp16:1,dynamic=off", "fp16:65536"), kinds[:2])
    ):
        options = {"depth": depth, "activation": activation}
        settings = {"optimizer": "adam:0.003"}
        yield pixels(
            "squeezed", f"{activation} depth {depth} {precision}", precision, 20 + seed, settings, **options
        )
