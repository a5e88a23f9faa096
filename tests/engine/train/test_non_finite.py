"""Where a NaN began is in the verdict of vgrad's own loop: the module, found with the weights that it had."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vgrad.config import RunConfig
from vgrad.task import Task
from vgrad.train.trainer import Trainer


class Log(nn.Module):
    """A log whose inputs may be 0."""

    def forward(self, x: Tensor) -> Tensor:
        """``log(relu(x))``."""
        return torch.relu(x).log()


def test_the_verdict_names_the_module_in_forward_order() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 1), Log())
    good, bad = torch.ones(4, 3), -torch.ones(4, 3)
    with torch.no_grad():
        model[0].weight.fill_(1.0)  # type: ignore[union-attr]
    data = [(inputs, torch.zeros(4, 1)) for inputs in (good, good, bad)]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    task = Task(model=model, optimizer=optimizer, data=data, loss=nn.MSELoss())
    trainer = Trainer(task, RunConfig.make(recipe="toy"))
    for _ in range(3):
        trainer.train_step()
    verdict = trainer.verdict
    assert verdict.kind == "non-finite"
    assert "it began in 1 (Log): its inputs were up to " in verdict.evidence
    assert "a log of 0" in verdict.evidence
