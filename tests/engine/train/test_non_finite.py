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


def evidence_after(model: nn.Module, data: list[tuple[Tensor, Tensor]]) -> str:
    """What the verdict of a run over ``data`` says, whose steps are judged several at a time."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    task = Task(model=model, optimizer=optimizer, data=data, loss=nn.MSELoss())
    trainer = Trainer(task, RunConfig.make(recipe="toy"))
    for _ in data:
        trainer.advance()
    trainer.finish()
    assert trainer.verdict.kind == "non-finite"
    return trainer.verdict.evidence


def test_the_verdict_names_the_module_in_forward_order() -> None:
    model = nn.Sequential(nn.Linear(3, 1), Log())
    good, bad = torch.ones(4, 3), -torch.ones(4, 3)
    with torch.no_grad():
        model[0].weight.fill_(1.0)  # type: ignore[union-attr]
    evidence = evidence_after(model, [(inputs, torch.zeros(4, 1)) for inputs in (good, good, bad, good)])
    assert evidence.startswith("at step 3 the loss is inf")
    assert "it began in 1 (Log): its inputs were up to " in evidence
    assert "a log of 0" in evidence


def test_bad_data_are_not_taken_for_bad_weights() -> None:
    good, bad = torch.ones(4, 3), torch.full((4, 3), torch.nan)
    targets = torch.zeros(4, 1)
    evidence = evidence_after(nn.Linear(3, 1), [(inputs, targets) for inputs in (good, good, bad, good)])
    assert "it began in the inputs of the model, which are not finite themselves" in evidence
    data = [(good, each) for each in (targets, targets, torch.full((4, 1), torch.inf), targets)]
    assert "it began in the targets, which are not finite themselves" in evidence_after(nn.Linear(3, 1), data)
