"""The models that watching is measured on: few large tensors, many small ones, very many tiny ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(slots=True, eq=False)
class Subject:
    """A model with all that one training step needs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[], Tensor]

    def backward(self) -> Tensor:
        """Forward and backward; returns the loss."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attn, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(batch, time, width)`` in and out."""
        batch, length, width = x.shape
        qkv = self.qkv(self.norm_attn(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0), is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm_mlp(x))))


def _alone(model: nn.Module) -> nn.Module:
    return model


def gpt(device: str = "cpu", *, wrap: Callable[[nn.Module], nn.Module] = _alone) -> Subject:
    """A character GPT of 1.2 million parameters, AdamW; what is trained is what ``wrap`` makes of it."""
    return _gpt(device, width=128, depth=6, heads=4, vocabulary=100, tokens=(8, 128), wrap=wrap)


def large_gpt(device: str) -> Subject:
    """A GPT of 124 million parameters in blocks of GPT-2's size, AdamW, bfloat16 autocast."""
    subject = _gpt(device, width=768, depth=12, heads=12, vocabulary=25_000, tokens=(8, 1024))
    in_float32 = subject.loss

    def loss() -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return in_float32()

    return replace(subject, loss=loss)


def _gpt(
    device: str,
    *,
    width: int,
    depth: int,
    heads: int,
    vocabulary: int,
    tokens: tuple[int, int],
    wrap: Callable[[nn.Module], nn.Module] = _alone,
) -> Subject:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Embedding(vocabulary, width),
        *(Block(width, heads) for _ in range(depth)),
        nn.LayerNorm(width),
        nn.Linear(width, vocabulary),
    )
    model = wrap(layers.to(device))
    batch, length = tokens
    text = torch.randint(vocabulary, (batch, length + 1)).to(device)

    def loss() -> Tensor:
        return F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())

    return Subject(model, torch.optim.AdamW(model.parameters(), lr=1e-4), loss)


def mlp(device: str = "cpu") -> Subject:
    """51 layers of 64 units, 102 tensors, SGD with momentum."""
    torch.manual_seed(0)
    layers = [module for _ in range(51) for module in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(*layers).to(device)
    rows = torch.randn(128, 64).to(device)
    return Subject(
        model, torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9), lambda: model(rows).square().mean()
    )


def many_tensors(device: str = "cpu") -> Subject:
    """5,000 layers of 16 units in 100 parallel columns, 10,000 tensors, SGD."""
    torch.manual_seed(0)
    columns = nn.ModuleList(
        nn.Sequential(*(module for _ in range(50) for module in (nn.Linear(16, 16), nn.Tanh())))
        for _ in range(100)
    ).to(device)
    rows = torch.randn(32, 16).to(device)

    def loss() -> Tensor:
        return torch.stack([column(rows) for column in columns]).square().mean()

    return Subject(columns, torch.optim.SGD(columns.parameters(), lr=1e-2), loss)
