"""Training loops as people write them, which know nothing of vgrad."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

import vgrad
from vgrad.watching.watch import Watch

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    "sgd-foreach": partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=True),
    "adam": partial(torch.optim.Adam, lr=1e-2),
    "adamw-foreach": partial(torch.optim.AdamW, lr=1e-2, foreach=True),
    "adamw-fused": partial(torch.optim.AdamW, lr=1e-2, fused=True),
}


def make_model(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(0.1), nn.Linear(12, 1))


def batches(num: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 6, generator=generator) for _ in range(num)]


def loss_of(model: nn.Module, rows: Tensor) -> Tensor:
    return (model(rows) - rows.sum(1, keepdim=True)).square().mean()


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Sequence[Tensor]) -> list[float]:
    """The loop of every tutorial; returns its losses."""
    losses = []
    for each in rows:
        optimizer.zero_grad()
        loss = loss_of(model, each)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def with_closure(model: nn.Module, optimizer: torch.optim.Optimizer, rows: Sequence[Tensor]) -> list[float]:
    """The backward pass runs inside the step."""
    losses = []
    for each in rows:

        def closure(each: Tensor = each) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, each)
            loss.backward()
            return loss

        losses.append(float(optimizer.step(closure).detach()))  # type: ignore[union-attr, arg-type]
    return losses


Loop = Callable[[nn.Module, torch.optim.Optimizer, Sequence[Tensor]], list[float]]


def run_bare(make: MakeOptimizer, loop: Loop = plain, num_steps: int = 25) -> tuple[nn.Module, list[float]]:
    model = make_model()
    torch.manual_seed(5)
    return model, loop(model, make(model.parameters()), batches(num_steps))


def run_watched(
    make: MakeOptimizer, loop: Loop = plain, num_steps: int = 25, **settings: object
) -> tuple[nn.Module, list[float], Watch]:
    """The same loop under watch, which is still open."""
    model = make_model()
    optimizer = make(model.parameters())
    torch.manual_seed(5)
    watch = vgrad.watch(model, optimizer, **{"watch_budget": 1.0, **settings})  # type: ignore[arg-type]
    return model, loop(model, optimizer, batches(num_steps)), watch


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
