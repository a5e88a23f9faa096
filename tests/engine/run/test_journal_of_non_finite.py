"""Where a NaN began is one line of the journal, in a foreign loop as in vgrad's own."""

from __future__ import annotations

import torch
from torch import nn

from vgrad.config import RunConfig
from vgrad.events.hub import Cursor, Hub
from vgrad.run.journal import entry_of
from vgrad.run.watched_loop import watch
from vgrad.task import Task
from vgrad.train.trainer import Trainer


def lines_of(cursor: Cursor) -> list[str]:
    entries = [entry_of(notice) for notice in cursor.take().notices]
    return [entry.text for entry in entries if entry is not None and entry.text.startswith("non-finite")]


def test_a_foreign_loop_names_the_step_and_the_first_layer_in_backward_order() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, record=False) as watched:
        cursor = watched.cursor()
        for step in range(1, 6):
            optimizer.zero_grad()
            inner = model[0](torch.ones(4, 2))
            if step == 3:  # the root has no derivative at 0, and its value is finite
                inner = inner - inner.detach()
                loss = model[2](inner.sqrt()).square().mean()
            else:
                loss = model[2](inner.tanh()).square().mean()
            loss.backward()
            optimizer.step()
    (line,) = lines_of(cursor)
    assert "at step 3" in line
    assert "the first in backward order is 0, and 2 after it is still finite" in line


def test_the_own_loop_names_the_module_in_forward_order() -> None:
    class Root(nn.Module):
        """A root of numbers that may be negative."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """``sqrt(x)``."""
            return x.sqrt()

    model = nn.Sequential(nn.Linear(2, 1), Root())
    with torch.no_grad():
        model[0].weight.fill_(1.0)  # type: ignore[union-attr]
    data = [(sign * torch.ones(4, 2), torch.zeros(4, 1)) for sign in (9.0, 9.0, -9.0)]
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    hub = Hub()
    task = Task(model=model, optimizer=optimizer, data=data, loss=nn.MSELoss())
    trainer = Trainer(task, RunConfig.make(recipe="toy"))
    trainer.reporter.hub = hub
    for _ in range(3):
        trainer.train_step()
    (line,) = lines_of(hub.cursor())
    assert "at step 3" in line
    assert "it began in 1 (Root)" in line
