"""Whether a precision can be used is asked of the model itself, once, and asking changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine.toys import WIDTH, toy_model, toy_task, toy_trainer
from torch import Tensor, nn

import vgrad
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.methods.precision import BFloat16, Float16, Float32
from vgrad.train.precision_support import PrecisionSupport


class Fussy(nn.Module):
    """Trains in float32 alone, counts its passes, and has a batch norm and a dropout layer."""

    def __init__(self, *, refuses: tuple[torch.dtype, ...] = (torch.float16,)) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.num_passes = 0
        self._refuses = refuses

    def forward(self, rows: Tensor) -> Tensor:
        self.num_passes += 1
        outputs: Tensor = self.body(rows)
        if outputs.dtype in self._refuses:
            raise RuntimeError(f"no kernel for {outputs.dtype}")
        return outputs


def test_an_lstm_without_a_float16_kernel_is_refused_at_the_start_and_mid_run() -> None:
    small = {"options": {"hidden": 8, "seq_len": 8}, "batch_size": 2}
    with pytest.raises(ConfigError, match=r"precision: .* cannot be trained in float16 on cpu .*use fp32"):
        vgrad.build("charlm-lstm", precision="fp16", device="cpu", **small)
    trainer, bare = (vgrad.build("charlm-lstm", device="cpu", **small) for _ in range(2))
    for step in range(3):
        if step == 1:
            answer = trainer.apply(vgrad.Set("precision", "fp16"))
            assert isinstance(answer, CommandRejected)
            assert "cannot be trained in float16" in answer.reason
        assert trainer.train_step().loss == bare.train_step().loss
    assert isinstance(trainer.apply(vgrad.Set("precision", "bf16")), CommandApplied)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_asking_changes_nothing(precision: str) -> None:
    trainers = []
    with torch.random.fork_rng(devices=[]):
        for asks in (True, False):
            torch.manual_seed(0)
            trainer = toy_trainer(toy_task(model=Fussy()))
            losses = []
            for step in range(4):
                if asks and step in (0, 2):
                    trainer.apply(vgrad.Set("precision", precision))
                    trainer.apply(vgrad.Set("precision", "fp32"))
                losses.append(trainer.train_step().loss)
            trainers.append((losses, trainer.task.model.state_dict()))
    (losses, state), (other_losses, other_state) = trainers
    assert losses == other_losses
    assert all(torch.equal(value, other_state[name]) for name, value in state.items())


def test_the_model_is_asked_once_for_each_precision_and_never_for_another_command() -> None:
    model = Fussy(refuses=())
    trainer = toy_trainer(toy_task(model=model))
    assert model.num_passes == 0, "nobody asked for a precision"
    trainer.apply(vgrad.Set("precision", "bf16"))
    num_asked = model.num_passes
    assert num_asked == 1
    for command in (
        vgrad.Pause(),
        vgrad.Resume(),
        vgrad.Set("clip", "norm:1"),
        vgrad.Set("precision", "fp32"),
    ):
        trainer.apply(command)
    trainer.apply(vgrad.Set("precision", "bf16"))
    assert model.num_passes == num_asked
    trainer.apply(vgrad.Set("precision", "fp16"))
    trainer.apply(vgrad.Set("precision", "fp16:8,dynamic=off"))
    assert model.num_passes == num_asked + 1


def test_the_reason_is_the_models_own_and_gradients_stay() -> None:
    task = toy_task(model=Fussy())
    task.loss_of(task.stream.next()).backward()
    before = [param.grad.clone() for param in task.model.parameters() if param.grad is not None]
    support = PrecisionSupport(task)
    assert support.why_not(Float32()) is None
    assert support.why_not(BFloat16()) is None
    assert "no kernel for torch.float16" in str(support.why_not(Float16()))
    after = [param.grad for param in task.model.parameters()]
    assert all(grad is not None and torch.equal(grad, old) for grad, old in zip(after, before, strict=True))


def test_a_model_that_fails_in_float32_too_is_not_refused_for_its_precision() -> None:
    task = toy_task(model=Fussy(refuses=(torch.float16, torch.float32)))
    assert PrecisionSupport(task).why_not(Float16()) is None
    with pytest.raises(RuntimeError, match="no kernel"):
        toy_trainer(task, precision="fp16").train_step()


def test_buffers_that_a_forward_pass_replaces_are_put_back() -> None:
    class Counting(nn.Module):
        count: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.body = toy_model()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, rows: Tensor) -> Any:
            self.count = self.count + 1
            return self.body(rows)

    task = toy_task(model=Counting())
    count = task.model.count
    assert PrecisionSupport(task).why_not(BFloat16()) is None
    assert task.model.count is count
    assert float(count) == 0.0
