"""Nothing in a watched step waits for the device, proven without one.

The `meta` device has shapes and no data, so that whatever would look at a value raises by
itself. All that may leave it is the one copy per step, which is counted.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from tests.engine.toys import toy_batch, toy_model
from tests.engine.waiting import CountReadBacks, no_waiting
from torch import Tensor, nn

from vgrad.controls.controls import Controls
from vgrad.events.step_record import StepRecord
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm, ClipGradValue
from vgrad.watching.optimizer_tap import OptimizerTap

STEERING = {
    "watching": Controls(),
    "by-norm": Controls(clip=ClipGradNorm(1.0)),
    "by-value": Controls(clip=ClipGradValue(0.5)),
    "accumulating": Controls(accumulate=MeanOver(3)),
    "all": Controls(clip=ClipGradNorm(1.0), accumulate=MeanOver(2), lr_scale=0.5),
}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.rnn = nn.RNN(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.rnn(self.embed(tokens))[0]))


def meta_step(
    tap: OptimizerTap, model: nn.Module, optimizer: torch.optim.Optimizer, num_microbatches: int
) -> None:
    for _ in range(num_microbatches):
        optimizer.zero_grad()
        loss = model(torch.zeros(5, 2, dtype=torch.long, device="meta")).square().mean()
        loss.backward()
        tap.microbatch(loss, num_tokens=10)
        optimizer.step()


@pytest.mark.parametrize("budget", [0.0, 1.0])
@pytest.mark.parametrize("steering", STEERING)
def test_a_step_makes_one_copy_and_reads_no_number(steering: str, budget: float) -> None:
    model = Recurrent().to("meta")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    controls = STEERING[steering]
    with (
        OptimizerTap(model, optimizer, controls=controls, watch_budget=budget) as tap,
        CountReadBacks() as read_backs,
    ):
        for step in range(1, 31):
            meta_step(tap, model, optimizer, controls.accumulation_steps)
            assert read_backs.seen == {"copy": step}
        tap.records(wait=True)
        assert (tap.stats().measured_step.max() > 0) == (budget > 0), (
            "the expensive statistics come with the same copy"
        )


def test_a_record_arrives_one_step_later_and_the_last_when_asked_for() -> None:
    model = Recurrent().to("meta")
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    with OptimizerTap(model, optimizer) as tap, CountReadBacks():
        arrived: list[list[StepRecord]] = []
        for _ in range(4):
            meta_step(tap, model, optimizer, 1)
            arrived.append(tap.records())
        arrived.append(tap.records(wait=True))
    assert [[record.step for record in records] for records in arrived] == [[], [1], [2], [3], [4]]
    assert [record.loss for records in arrived for record in records] == [1.0, 2.0, 3.0, 4.0], (
        "its own numbers"
    )


def test_the_counter_would_notice_a_read_back() -> None:
    values = torch.ones(3, device="meta")
    with CountReadBacks() as read_backs:
        assert values.to("cpu").tolist() == [1.0] * 3
        assert torch.empty(3).copy_(values).tolist() == [2.0] * 3
        with pytest.raises(RuntimeError, match="meta"):
            values[0].item()
        with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
            values.nonzero()
    assert read_backs.seen == {"copy": 2, "scalar": 1}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("steering", STEERING)
def test_cuda_agrees(steering: str) -> None:
    model = toy_model().to("cuda")
    controls = STEERING[steering]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = toy_batch(torch.randn(8, 6, device="cuda"))
    with OptimizerTap(model, optimizer, controls=controls, watch_budget=1.0) as tap:
        records: list[StepRecord] = []
        for step in range(20):
            with no_waiting() if step >= 2 else nullcontext():  # the first steps may allocate and tune
                for _ in range(controls.accumulation_steps):
                    optimizer.zero_grad()
                    loss = nn.functional.mse_loss(model(batch.inputs), batch.targets)
                    loss.backward()
                    tap.microbatch(loss, num_tokens=8)
                    optimizer.step()
                records += tap.records()
        records += tap.records(wait=True)
    assert [record.step for record in records] == list(range(1, 21))
    assert all(record.loss > 0 and record.grad_norm > 0 for record in records)
