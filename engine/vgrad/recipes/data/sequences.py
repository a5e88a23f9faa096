"""Sequence tasks whose data is generated as it is needed: long-range order, and addition."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vgrad.recipes.data.streams import Draw, GeneratedStream
from vgrad.recipes.models.recurrent import OneHot, RecurrentNet, recurrent_layers
from vgrad.recipes.recipe import Setup
from vgrad.task import (
    ERROR_RATE,
    Loss,
    Microbatch,
    Task,
    constant_loss,
    mean_cross_entropy,
    mean_squared_error,
)
from vgrad.train.init_weights import init_weights_, seeded

_NUM_SYMBOLS = 6  # A, B, and c, d, e, f to distract from them
_NUM_VALIDATION = 1000
_NUM_BASELINE = 4096  # a random sum of squares is known to 2 % from so many
_VALIDATION_SEED = 2**63  # one set for all runs; their own seeds are smaller


def temporal_order(seq_len: int) -> Draw:
    """Return what draws sequences in which the order of two symbols is the class.

    One symbol of A, B stands in the second tenth of the sequence and one just after its middle;
    c, d, e, f are everywhere else. The classes are AA, AB, BA and BB, to be answered at the end.

    Args:
        seq_len: Symbols per sequence, at least 10.

    Returns:
        A function from ``(num_samples, generator)`` to symbols, int64 of shape ``(num_samples,
        seq_len)`` in ``[0, 6)`` with A = 0 and B = 1, and classes, int64 of shape ``(num_samples,)``.

    Source:
        Hochreiter & Schmidhuber 1997, task 6a; as in Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063.
    """
    tenth, half = seq_len // 10, seq_len // 2

    def draw(num_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        def integers(low: int, high: int, *shape: int) -> Tensor:
            return torch.randint(low, high, (num_samples, *shape), generator=generator)

        symbols = integers(2, _NUM_SYMBOLS, seq_len)
        classes = integers(0, 2, 2)
        places = torch.stack([integers(tenth, 2 * tenth), integers(half, half + tenth)], dim=1)
        return symbols.scatter_(1, places, classes), 2 * classes[:, 0] + classes[:, 1]

    return draw


def adding(seq_len: int) -> Draw:
    """Return what draws sequences of numbers of which two are marked and to be added.

    Always answering 1 costs a mean squared error of 1/6, the variance of the sum.

    Args:
        seq_len: Numbers per sequence, at least 2; one is marked in each half.

    Returns:
        A function from ``(num_samples, generator)`` to numbers in ``[0, 1)`` beside their marks,
        float32 of shape ``(num_samples, seq_len, 2)``, and sums, float32 of shape ``(num_samples, 1)``.

    Source:
        Hochreiter & Schmidhuber 1997, task 4; as in Le, Jaitly & Hinton 2015, arXiv:1504.00941.
    """
    half = seq_len // 2

    def draw(num_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        numbers = torch.rand(num_samples, seq_len, generator=generator)
        first = torch.randint(half, (num_samples, 1), generator=generator)
        second = torch.randint(half, seq_len, (num_samples, 1), generator=generator)
        places = torch.cat([first, second], dim=1)
        marks = torch.zeros_like(numbers).scatter_(1, places, 1.0)
        return torch.stack([numbers, marks], dim=-1), numbers.gather(1, places).sum(1, keepdim=True)

    return draw


def build_temporal_order(setup: Setup) -> Task:
    """Build Pascanu's task: a plain RNN that answers after the last symbol.

    Raises:
        ConfigError: If a gated cell is to have another activation than its own.
    """
    options, draw = setup.group("model"), temporal_order(setup.group("data")["seq_len"])
    model = _model(setup, OneHot(_NUM_SYMBOLS), _NUM_SYMBOLS, 4, options)
    return Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=setup.lr),
        metric=ERROR_RATE,
        **_data(setup, draw, mean_cross_entropy),
    )


def build_adding(setup: Setup) -> Task:
    """Build the adding problem.

    Raises:
        ConfigError: If a gated cell is to have another activation than its own.
    """
    options, draw = setup.group("model"), adding(setup.group("data")["seq_len"])
    model = _model(setup, nn.Identity(), 2, 1, options)
    return Task(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=setup.lr),
        **_data(setup, draw, mean_squared_error),
    )


def _model(
    setup: Setup, embed: nn.Module, input_size: int, num_outputs: int, options: dict[str, Any]
) -> RecurrentNet:
    with seeded(setup.seed):
        rnn = recurrent_layers(input_size, options)
        model = RecurrentNet(embed, rnn, num_outputs, every_step=False, layer_norm=options["layer_norm"])
        init_weights_(model, options["init"])
    return model.to(setup.device)


def _data(setup: Setup, draw: Draw, loss: Loss) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(_VALIDATION_SEED)
    inputs, targets = draw(_NUM_VALIDATION, generator)
    many = draw(_NUM_BASELINE, generator)[1]
    return {
        "data": GeneratedStream(draw, batch_size=setup.batch_size, seed=setup.seed, device=setup.device),
        "validation": Microbatch(
            inputs.to(setup.device), targets.to(setup.device), num_tokens=0, num_samples=len(inputs)
        ),
        "unit": "samples",
        "loss": loss,
        "baseline": constant_loss(many, loss),
    }
