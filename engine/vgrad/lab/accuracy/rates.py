"""Families crossed with optimizers at rates from what learns to what is absurd. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from vgrad.lab.accuracy.cases import Case, Steps, conv, digits, pixels, sequence, text


def rate_cases() -> Iterator[Case]:
    """Every case of these families; rules are fitted to them, too."""
    for family in (_norm_skip, _stacked_text, _orthogonal_order, _conv_parts, _bottleneck):
        yield from family()


def at_rates(**rates: tuple[float, ...]) -> list[Steps]:
    """Optimizers by their rates, from what is known to learn to what is far too large."""
    return [
        (f"{optimizer} {lr:g}", {"optimizer": f"{optimizer}:{lr:g}"})
        for optimizer, all_of_it in rates.items()
        for lr in all_of_it
    ]


def _norm_skip() -> Iterator[Case]:
    steps = at_rates(
        sgd=(0.03, 0.3, 20.0), momentum=(0.01, 3.0), adam=(0.001, 0.01, 0.3, 1.0), rmsprop=(0.003, 0.3)
    )
    for seed, (how, (activation, depth)) in enumerate(product(steps, (("gelu", 8), ("relu", 16)))):
        parts: dict[str, Any] = {"skip": True, "layer_norm": True, "init": "he"}
        yield digits(
            "norm-skip", f"{activation} depth {depth}", how, seed, depth=depth, activation=activation, **parts
        )


def _stacked_text() -> Iterator[Case]:
    steps = at_rates(sgd=(3.0, 40.0), momentum=(0.3, 6.0), adam=(0.003, 0.03, 0.3, 1.0), rmsprop=(0.003, 0.2))
    for seed, (word, settings) in enumerate(steps):
        yield text("stacked-text", "lstm", f"lstm 2 layers {word}", seed, settings, layers=2)
    steps = at_rates(sgd=(1.0, 10.0, 80.0), adam=(0.003, 0.05, 0.5), rmsprop=(0.003, 0.3))
    for seed, (word, settings) in enumerate(steps):
        yield text("stacked-text", "rnn", f"rnn norm {word}", 20 + seed, settings, layer_norm=True)


def _orthogonal_order() -> Iterator[Case]:
    steps = at_rates(
        sgd=(0.3, 2.0, 20.0), momentum=(0.1, 2.0), adam=(0.002, 0.01, 0.2, 1.0), rmsprop=(0.002, 0.2)
    )
    for seed, (word, settings) in enumerate(steps):
        yield sequence(
            "order",
            "rnn",
            10,
            word,
            seed,
            settings,
            family="orthogonal-order",
            num_steps=640,
            init="orthogonal",
        )
    for seed, (word, settings) in enumerate(at_rates(momentum=(0.3, 10.0), adam=(0.01, 0.3), rmsprop=(0.3,))):
        yield sequence(
            "order", "gru", 10, word, 20 + seed, settings, family="orthogonal-order", num_steps=640
        )


def _conv_parts() -> Iterator[Case]:
    steps = at_rates(sgd=(0.2, 4.0, 40.0), momentum=(0.03, 2.0), adam=(0.003, 0.1, 1.0), rmsprop=(0.002, 0.2))
    for seed, (how, part) in enumerate(product(steps, ("skip", "layer_norm"))):
        parts: dict[str, Any] = {part: True, "activation": "relu", "init": "he"}
        yield conv("conv-parts", f"depth 6 {part.replace('_', ' ')}", how, seed, depth=6, **parts)


def _bottleneck() -> Iterator[Case]:
    steps = at_rates(
        sgd=(100.0, 3000.0), momentum=(10.0, 100.0, 1000.0), adam=(0.002, 0.1, 1.0),
        rmsprop=(0.001, 0.03, 0.3),
    )  # fmt: skip
    for seed, ((word, settings), (width, activation)) in enumerate(
        product(steps, ((12, "tanh"), (48, "relu")))
    ):
        if width == 48 and word.startswith("sgd"):
            continue  # as momentum at a tenth of the rate
        what = f"{activation} width {width} {word}"
        yield pixels("bottleneck", what, "fp32", seed, settings, width=width, activation=activation)
