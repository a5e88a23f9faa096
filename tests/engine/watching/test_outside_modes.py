"""What a loop's own modes see of its steps is the same with and without vgrad."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vgrad.controls.controls import Controls
from vgrad.watching.every_optimizer import EveryOptimizer
from vgrad.watching.watch import Watch


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


def train(kind: str) -> tuple[list[str], list[str], list[Tensor]]:
    """What the modes saw of 12 steps, and the weights after them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    inputs = torch.randn(16, 4)
    with Operations() as operations, Functions() as functions:
        optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            loss.backward()
            return loss

        for _ in range(12):
            if kind == "LBFGS":
                optimizer.step(closure)
            else:
                closure()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
    return operations.seen, functions.seen, [param.detach() for param in model.parameters()]


@pytest.mark.parametrize("kind", ["SGD", "Adam", "LBFGS"])
def test_modes_see_the_operations_of_the_loop_alone(kind: str) -> None:
    train(kind)  # what torch does only once, as importing, is done
    bare = train(kind)
    watch = Watch("script", watch_budget=1.0)
    EveryOptimizer(watch).begin()
    operations, functions, weights = train(kind)
    records = watch.records()
    watch.close()
    assert [record.step for record in records] == list(range(1, 13))
    assert operations == bare[0]
    assert functions == bare[1]
    assert all(map(torch.equal, weights, bare[2]))


def test_a_control_acts_where_a_default_device_is_another_one() -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Watch("script", controls=Controls(clip="norm:0.001", noise="0.01"))
    watch.add(model, [optimizer])
    inputs = torch.ones(8, 4)
    with torch.device("meta"):
        for _ in range(3):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
    records = watch.records()
    watch.close()
    assert len(records) == 3
    assert all(record.loss is not None and record.grad_norm > 0.001 for record in records)
