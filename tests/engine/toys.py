"""Small tasks with known laws: made in a millisecond, of any dtype, optimizer and data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.gradients.grads import Grads
from vgrad.gradients.norms import NormPlan
from vgrad.task import Microbatch, Task
from vgrad.train.trainer import Trainer

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]

WIDTH = 6


def toy_batch(rows: Tensor, *, ends_epoch: bool = False) -> Microbatch:
    """Regression on rows of shape ``(num_items, WIDTH)``; each row counts as a token."""
    return Microbatch(rows, rows.sin().sum(1, keepdim=True), len(rows), 1, ends_epoch)


class ToyStream:
    """The same rows however they are cut into microbatches.

    Args:
        lengths: Rows of each microbatch; None for 8 each, without end.
        epoch: Microbatches per epoch; 0 for no epochs.
        dtype: Dtype of the rows.
    """

    can_rewind = True

    def __init__(
        self, lengths: list[int] | None = None, *, epoch: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        self._lengths: Iterator[int] | None = None if lengths is None else iter(lengths)
        self._epoch = epoch
        self._dtype = dtype
        self._generator = torch.Generator().manual_seed(0)
        self._count = 0

    def next(self) -> Microbatch:
        length = 8 if self._lengths is None else next(self._lengths)
        self._count += 1
        rows = torch.rand(length, WIDTH, generator=self._generator, dtype=torch.float64) * 4 - 2
        return toy_batch(rows.to(self._dtype), ends_epoch=self._epoch > 0 and self._count % self._epoch == 0)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])
        self._count = state["count"]


def toy_model(*, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(WIDTH, 12), nn.Tanh(), nn.LayerNorm(12), nn.Linear(12, 1))
    return model.to(dtype)


def sgd(params: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.05, momentum=0.9)


def toy_task(
    optimizer: MakeOptimizer = sgd,
    *,
    model: nn.Module | None = None,
    stream: ToyStream | None = None,
    fails_at: int | None = None,
) -> Task:
    """A task that raises `ZeroDivisionError` in its call number ``fails_at`` of the loss."""
    model = model or toy_model()
    param = next(model.parameters())
    num_calls = 0

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal num_calls
        num_calls += 1
        if num_calls == fails_at:
            raise ZeroDivisionError("made to fail")
        return F.mse_loss(outputs, targets)

    rows = torch.linspace(-2, 2, 16 * WIDTH, dtype=param.dtype).view(16, WIDTH)
    return Task(
        model=model,
        optimizer=optimizer(model.parameters()),
        data=stream or ToyStream(),
        loss=loss,
        validation=toy_batch(rows),
        unit="tokens",
    )


def toy_trainer(task: Task | None = None, **settings: Any) -> Trainer:
    return Trainer(task or toy_task(), RunConfig.make(recipe="toy", **settings))


def grads_of(tensors: list[Tensor], params: Sequence[nn.Parameter] = ()) -> Grads:
    """Gradients of ``params``, or of weights that are all zero; named by their place; no last layer."""
    params = params or [nn.Parameter(torch.zeros_like(tensor)) for tensor in tensors]
    names = [str(index) for index in range(len(tensors))]
    return Grads(tensors, NormPlan(tensors), params=params, names=names, last_linear=frozenset())
