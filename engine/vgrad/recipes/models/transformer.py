"""A small decoder-only transformer on characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgrad.errors import ConfigError
from vgrad.methods.structure import ON_OFF, TRANSFORMER_ACTIVATIONS
from vgrad.recipes.data.streams import WindowStream, even_windows
from vgrad.recipes.data.text import load_text
from vgrad.recipes.models.activations import FUNCTIONS
from vgrad.recipes.recipe import Setup
from vgrad.task import Task, constant_loss
from vgrad.train.init_weights import seeded
from vgrad.train.model_parts import Structured


class Attention(nn.Module):
    """Causal self-attention of ``heads`` heads on ``(batch, seq_len, width)``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each position gathers from itself and those before it."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        gathered: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return gathered


class Mlp(nn.Module):
    """Two linear layers with an activation between, four times wider inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the same shape as ``x``."""
        y: Tensor = self.down(activation(self.up(x)))
        return y


class Block(nn.Module):
    """One pre-norm block.

    The norms sit inside the branches, so the skip path stays linear from the loss to the embedding
    and gradients reach the first block undiminished.

    Source:
        Xiong et al. 2020, arXiv:2002.04745.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn_norm = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(
        self, x: Tensor, *, activation: Callable[[Tensor], Tensor], skip: bool, layer_norm: bool
    ) -> Tensor:
        """Return ``x``, ``(batch, seq_len, width)``, with both branches added.

        Without ``skip`` the branches stand alone; without ``layer_norm`` they read ``x`` as it is.
        """
        y: Tensor = self.attn(self.attn_norm(x) if layer_norm else x)
        x = x + y if skip else y
        y = self.mlp(self.mlp_norm(x) if layer_norm else x, activation)
        return x + y if skip else y


class CharTransformer(Structured, nn.Module):
    """Predicts each next character from those before it, at most ``seq_len`` of them.

    Its ``layer_norm`` are the norms of its own, with gain and bias: while it is off they get no
    gradient and keep their values.
    """

    def __init__(
        self,
        num_symbols: int,
        *,
        width: int,
        layers: int,
        heads: int,
        seq_len: int,
        activation: str = "gelu",
        skip: bool = True,
        layer_norm: bool = True,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_symbols, width)
        self.position = nn.Embedding(seq_len, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_symbols)
        self._declare(
            {"activation": TRANSFORMER_ACTIVATIONS, "skip": ON_OFF, "layer_norm": ON_OFF},
            {"activation": activation, "skip": skip, "layer_norm": layer_norm},
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Re-initialise the weights of all linear and embedding layers and zero the biases."""
        # 300 steps from here reach 2.0 nats; from GPT-2's fixed 0.02, made for wider models, 2.3.
        std = 0.5 / self.norm.normalized_shape[0] ** 0.5
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits ``(batch, seq_len, num_symbols)`` for tokens ``(batch, seq_len)``."""
        *_, x = self._hidden(self._embedded(tokens))
        return self._read(x)

    def layer_outputs(self, tokens: Tensor) -> list[Tensor]:
        """Return each block's own prediction through the last norm and the head; the last is the output."""
        return [self._read(x) for x in self._hidden(self._embedded(tokens))]

    def _embedded(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x: Tensor = self.embed(tokens) + self.position(places)
        return x

    def _hidden(self, x: Tensor) -> Iterator[Tensor]:
        activation = FUNCTIONS[self.part("activation")]
        skip, layer_norm = self.has("skip"), self.has("layer_norm")
        for block in self.blocks:
            x = block(x, activation=activation, skip=skip, layer_norm=layer_norm)
            yield x

    def _read(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(x) if self.has("layer_norm") else x)
        return logits


def build_transformer(setup: Setup) -> Task:
    """Build the transformer.

    Raises:
        ConfigError: If the heads do not share the width evenly.
        DataError: If the text cannot be used.
    """
    options, seq_len = setup.group("model"), setup.group("data")["seq_len"]
    if options["width"] % options["heads"]:
        raise ConfigError(
            f"width must be a multiple of heads, got width={options['width']} and heads={options['heads']}"
        )
    text = load_text(setup.text)
    text.require(seq_len)
    with seeded(setup.seed):
        model = CharTransformer(len(text.vocabulary), seq_len=seq_len, **options)
    model.to(setup.device)
    return Task(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=setup.lr, betas=(0.9, 0.95)),
        data=WindowStream(
            text.train, seq_len=seq_len, batch_size=setup.batch_size, seed=setup.seed, device=setup.device
        ),
        validation=even_windows(text.validation.to(setup.device), seq_len),
        unit="tokens",
        baseline=constant_loss(text.train),
    )
