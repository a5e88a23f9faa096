"""Recurrent models, whose gradients explode and vanish through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.measure.unroll import Hiddens, unroll
from vgrad.methods.structure import ON_OFF, RNN_ACTIVATIONS
from vgrad.recipes.data.streams import WindowStream, even_windows
from vgrad.recipes.data.text import load_text
from vgrad.recipes.models.activations import normalize
from vgrad.recipes.recipe import Setup
from vgrad.task import Task, constant_loss
from vgrad.train.init_weights import init_weights_, seeded
from vgrad.train.model_parts import Structured

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class OneHot(nn.Module):
    """Turns symbols ``(...)`` into vectors ``(..., num_symbols)``; has no weights."""

    def __init__(self, num_symbols: int) -> None:
        super().__init__()
        self.num_symbols = num_symbols

    def forward(self, symbols: Tensor) -> Tensor:
        """Return float vectors with a single 1 each, in torch's default type."""
        return F.one_hot(symbols, self.num_symbols).to(torch.get_default_dtype())


class RecurrentNet(Structured, nn.Module):
    """Embedding, recurrent layers, linear head.

    Its structure: ``layer_norm`` on what the head reads; it leaves the path through time as it is.
    For an `nn.RNN` also the ``activation``. Gated cells have theirs built in.

    Args:
        embed: From inputs ``(batch, seq_len, ...)`` to ``(batch, seq_len, input_size)``.
        rnn: The recurrent layers, ``batch_first``.
        num_outputs: Size of an answer.
        every_step: Whether it answers at every step or only after the last.
        layer_norm: The part's first value.
    """

    def __init__(
        self,
        embed: nn.Module,
        rnn: nn.RNNBase,
        num_outputs: int,
        *,
        every_step: bool,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.rnn = rnn
        self.head = nn.Linear(rnn.hidden_size, num_outputs)
        self.every_step = every_step
        parts, initial = {"layer_norm": ON_OFF}, {"layer_norm": layer_norm}
        if isinstance(rnn, nn.RNN):
            self._declare(
                {"activation": RNN_ACTIVATIONS, **parts}, {"activation": rnn.nonlinearity, **initial}
            )
        else:
            self._declare(parts, initial)

    def set_structure_(self, name: str, value: str) -> None:
        """Change a part; see `Structured`."""
        super().set_structure_(name, value)
        if name == "activation":
            self.rnn.nonlinearity = value
            self.rnn.mode = f"RNN_{value.upper()}"  # which kernel runs; both have the same weights

    def forward(self, inputs: Tensor) -> Tensor:
        """Return outputs ``(batch, seq_len, num_outputs)``, or ``(batch, num_outputs)`` of the last step."""
        hidden, _ = self.rnn(self.embed(inputs))
        return self._read(hidden if self.every_step else hidden[:, -1])

    def unrolled(self, inputs: Tensor) -> tuple[Tensor, Hiddens]:
        """Return what `forward` returns, to rounding, and every hidden state on the way.

        Args:
            inputs: As for `forward`.

        Returns:
            Outputs, and ``hiddens[layer][t]`` of shape ``(batch, hidden_size)``.
        """
        hiddens = unroll(self.rnn, self.embed(inputs))
        return self._read_states(hiddens[-1]), hiddens

    def layer_outputs(self, inputs: Tensor) -> list[Tensor]:
        """Return each recurrent layer's own prediction through the head, shaped as `forward`'s.

        The last is the model's output, to rounding where there are several layers.
        """
        if self.rnn.num_layers == 1:
            return [self(inputs)]
        hiddens = unroll(self.rnn, self.embed(inputs))
        return [self._read_states(states) for states in hiddens]

    def _read_states(self, states: list[Tensor]) -> Tensor:
        return self._read(torch.stack(states, dim=1) if self.every_step else states[-1])

    def _read(self, hidden: Tensor) -> Tensor:
        outputs: Tensor = self.head(normalize(hidden) if self.has("layer_norm") else hidden)
        return outputs


def recurrent_layers(input_size: int, options: dict[str, Any]) -> nn.RNNBase:
    """Return the layers that ``cell``, ``hidden``, ``layers`` and ``activation`` of ``options`` describe.

    Raises:
        ConfigError: If a gated cell is to have another activation than its own.
    """
    cell, activation = options["cell"], options.get("activation", "tanh")
    if cell == "rnn":
        more = {"nonlinearity": activation}
    elif activation == "tanh":
        more = {}
    else:
        raise ConfigError(f"model.activation={activation} needs model.cell=rnn: an {cell} has its own")
    make: Callable[..., nn.RNNBase] = CELLS[cell]
    return make(input_size, options["hidden"], num_layers=options["layers"], batch_first=True, **more)


def build_charlm(setup: Setup) -> Task:
    """Build a character model.

    Raises:
        ConfigError: If a gated cell is to have another activation than its own.
        DataError: If the text cannot be used.
    """
    options, seq_len = setup.group("model"), setup.group("data")["seq_len"]
    text = load_text(setup.text)
    text.require(seq_len)
    num_symbols = len(text.vocabulary)
    with seeded(setup.seed):
        embed = nn.Embedding(num_symbols, options["embed"])
        rnn = recurrent_layers(options["embed"], options)
        model = RecurrentNet(embed, rnn, num_symbols, every_step=True, layer_norm=options["layer_norm"])
        init_weights_(model.rnn, options["init"])
    model.to(setup.device)
    return Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=setup.lr),
        data=WindowStream(
            text.train, seq_len=seq_len, batch_size=setup.batch_size, seed=setup.seed, device=setup.device
        ),
        validation=even_windows(text.validation.to(setup.device), seq_len),
        unit="tokens",
        baseline=constant_loss(text.train),
    )
