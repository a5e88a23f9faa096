"""Recurrent character models: the place where gradients explode in time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from vgrad.recipes.recipe import Setup
from vgrad.recipes.streams import WindowStream, even_windows
from vgrad.recipes.task import Task
from vgrad.recipes.text import load_text
from vgrad.recipes.weights import init_weights_, seeded


class CharRNN(nn.Module):
    """Predicts each next character: embedding, recurrent layers, linear head.

    Args:
        num_symbols: Size of the vocabulary.
        embed: Size of a character's embedding.
        rnn: Makes the recurrent layers from an input size; ``batch_first``.
    """

    def __init__(self, num_symbols: int, embed: int, rnn: Callable[[int], nn.RNNBase]) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_symbols, embed)
        self.rnn = rnn(embed)
        self.head = nn.Linear(self.rnn.hidden_size, num_symbols)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits ``(batch, seq_len, num_symbols)`` for tokens ``(batch, seq_len)``."""
        hidden, _ = self.rnn(self.embed(tokens))
        logits: Tensor = self.head(hidden)
        return logits


def build_rnn(setup: Setup) -> Task:
    """Build the plain RNN; raises `DataError` for a text that cannot be used."""
    return _build(setup, partial(nn.RNN, nonlinearity=setup.options["activation"]))


def build_lstm(setup: Setup) -> Task:
    """Build the LSTM; raises `DataError` for a text that cannot be used."""
    return _build(setup, nn.LSTM)


def build_gru(setup: Setup) -> Task:
    """Build the GRU; raises `DataError` for a text that cannot be used."""
    return _build(setup, nn.GRU)


def _build(setup: Setup, cell: Callable[..., nn.RNNBase]) -> Task:
    options, seq_len = setup.options, setup.options["seq_len"]
    text = load_text(setup.text)
    text.require(seq_len)
    rnn = partial(cell, hidden_size=options["hidden"], num_layers=options["layers"], batch_first=True)
    with seeded(setup.seed):
        model = CharRNN(len(text.vocabulary), options["embed"], rnn)
        init_weights_(model.rnn, options["init"])
    model.to(setup.device)
    return Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=setup.lr),
        stream=WindowStream(
            text.train, seq_len=seq_len, batch_size=setup.batch_size, seed=setup.seed, device=setup.device
        ),
        validation=even_windows(text.validation.to(setup.device), seq_len),
        unit="tokens",
    )
