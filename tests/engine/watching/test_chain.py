"""The chain: its order, the norm after each link, and what a link may leave behind."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.toys import ToyStream, sgd, toy_batch, toy_model, toy_task, toy_trainer
from torch import Tensor, nn

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.controls import Controls, Set
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.events.step_record import StepRecord
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.centralize import CentralizeGrads
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.freeze import Freeze
from vgrad.methods.noise import AddGradNoise
from vgrad.methods.precision import Float16
from vgrad.methods.skip_non_finite import SkipNonFinite
from vgrad.task import Microbatch
from vgrad.watching.chain import find_links
from vgrad.watching.optimizer_tap import OptimizerTap

SETTINGS = {
    "skip_non_finite": "on",
    "freeze": "3",
    "detect": "as-prose",
    "accumulate": "as-coded",
    "centralize": "on",
    "normalize": "lars",
    "clip": "norm:0.01",
    "noise": "0.1",
}


@given(st.sets(st.sampled_from(sorted(SETTINGS))))
def test_links_act_in_one_order_whatever_the_order_of_the_commands(names: set[str]) -> None:
    trainer = toy_trainer()
    for name in names:
        assert isinstance(trainer.apply(Set(name, SETTINGS[name])), CommandApplied)
    assert [link.control for link in find_links(trainer.controls)] == [n for n in CONTROLS if n in names]
    trainer.close()


def test_the_norm_after_each_link_is_the_true_one() -> None:
    trainer = toy_trainer(clip="norm:0.01", accumulate="as-coded", noise="0.1", centralize="on")
    seen: list[float] = []
    trainer.task.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append(joint_norm(optimizer.param_groups[0]["params"]))
    )
    record = trainer.train_step()
    assert record.links == (
        ("accumulate", "accumulate as-coded"),
        ("centralize", "centralise"),
        ("clip", "clip norm 0.01"),
        ("noise", "gradient noise 0.1"),
    )
    assert record.link_norms is not None
    doubled, centred, clipped, noisy = record.link_norms.tolist()
    assert doubled == pytest.approx(2 * record.grad_norm, rel=1e-5)
    assert centred <= doubled
    assert clipped == pytest.approx(0.01, rel=1e-4)
    assert noisy == pytest.approx(record.applied_norm, rel=1e-6) == pytest.approx(seen[0], rel=1e-5)


def joint_norm(params: list[nn.Parameter]) -> float:
    return math.sqrt(sum(float(p.grad.double().square().sum()) for p in params if p.grad is not None))


def poisoned_steps(optimizer_kind: type[torch.optim.Optimizer]) -> tuple[list[StepRecord], Tensor, Tensor]:
    """Three steps, the second with a NaN in one gradient; the weights before and after that one."""
    model = toy_model()
    optimizer = optimizer_kind(model.parameters(), lr=0.1, weight_decay=0.1)  # type: ignore[call-arg]
    weights = []
    with OptimizerTap(model, optimizer, controls=Controls(skip_non_finite=SkipNonFinite())) as tap:
        for step in range(3):
            optimizer.zero_grad()
            batch = toy_batch(torch.ones(4, 6) * (step + 1))
            loss = (model(batch.inputs) - batch.targets).square().mean()
            loss.backward()
            if step == 1:
                next(model.parameters()).grad[0, 0] = math.nan  # type: ignore[index]
            weights.append(torch.cat([p.detach().flatten().clone() for p in model.parameters()]))
            tap.microbatch(loss)
            optimizer.step()
        return tap.records(), weights[1], weights[2]


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_step_that_is_not_finite_is_dropped_wholly_and_counted(kind: type[torch.optim.Optimizer]) -> None:
    records, before, after = poisoned_steps(kind)
    assert [record.skipped for record in records] == [False, True, False]
    assert torch.equal(before, after), "not even weight decay may move a weight"
    assert math.isnan(records[1].grad_norm), "what was there is shown, and is no 0"
    assert records[1].applied_norm == 0
    assert math.isfinite(records[2].grad_norm)


def test_what_is_frozen_does_not_move_and_takes_no_part_in_clipping() -> None:
    trainer = toy_trainer()
    first = trainer.task.model[0]
    assert isinstance(first, nn.Linear)
    trainer.train_step()
    before = first.weight.detach().clone()
    assert isinstance(trainer.apply(Set("freeze", "0")), CommandApplied)
    trainer.apply(Set("clip", "norm:1e-3"))
    for _ in range(3):
        record = trainer.train_step()
    assert torch.equal(first.weight, before), "momentum, too, must let it be"
    assert record.grad_norms[0] > 0, "its gradient is still shown"
    assert record.link_norms is not None
    rest = math.sqrt(float((record.grad_norms[1:].astype(float) ** 2).sum()))
    assert record.link_norms[0] == pytest.approx(rest, rel=1e-5)
    trainer.apply(Set("freeze", "off"))
    trainer.train_step()
    assert not torch.equal(first.weight, before)


@pytest.mark.parametrize(
    ("patterns", "told"),
    [("nowhere", "no layer matches 'nowhere'; layers are: "), ("*", "would freeze every layer")],
)
def test_a_freeze_that_makes_no_sense_is_refused_and_changes_nothing(patterns: str, told: str) -> None:
    trainer = toy_trainer(clip="norm:1")
    answer = trainer.apply(Set("freeze", patterns))
    assert isinstance(answer, CommandRejected)
    assert told in answer.reason
    assert trainer.controls.freeze is None
    assert trainer.train_step().links == (("clip", "clip norm 1"),)


def test_patterns_need_a_word() -> None:
    with pytest.raises(ConfigError, match="pattern"):
        Freeze("  ")


def test_float16_always_checks_what_it_computed() -> None:
    labels = [link.label for link in find_links(Controls(precision=Float16()))]
    assert labels == ["skip non-finite"]


def test_a_memory_outlives_a_changed_setting_and_not_another_method() -> None:
    def norms(change: str) -> list[float]:
        trainer = toy_trainer(clip="zclip:2.5,warmup_steps=2,max_norm=1e9")
        for step in range(6):
            if step == 3:
                trainer.apply(Set("clip", change))
            record = trainer.train_step()
        memory = trainer._tap._chain._memories["clip"][1]
        trainer.close()
        return [float(memory.num_seen), record.applied_norm]

    assert norms("zclip:3,warmup_steps=2,max_norm=1e9")[0] == 6
    trainer = toy_trainer(clip="zclip:2.5")
    trainer.train_step()
    trainer.apply(Set("clip", "norm:1"))
    assert "clip" not in trainer._tap._chain._memories


def test_noise_is_the_runs_own_and_the_same_for_the_same_seed() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed + 1000)  # must not matter
        trainer = toy_trainer(noise="0.3", seed=seed)
        for _ in range(3):
            trainer.train_step()
        return torch.cat([p.detach().flatten() for p in trainer.task.model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_accumulating_joins_before_the_chain_acts() -> None:
    model = toy_model()
    optimizer = sgd(model.parameters())
    controls = Controls(accumulate=MeanOver(3), clip=ClipGradNorm(1e-3), centralize=CentralizeGrads())
    with OptimizerTap(model, optimizer, controls=controls) as tap:
        for _ in range(6):
            optimizer.zero_grad()
            batch = toy_batch(torch.rand(4, 6, generator=torch.Generator().manual_seed(0)))
            loss = (model(batch.inputs) - batch.targets).square().mean()
            loss.backward()
            tap.microbatch(loss)
            optimizer.step()
        records = tap.records()
    assert len(records) == 2
    assert all(record.applied_norm == pytest.approx(1e-3, rel=1e-3) for record in records)


def test_the_sum_is_the_mean_times_the_number_of_equal_microbatches() -> None:
    mean, total = toy_trainer(accumulate="mean:3"), toy_trainer(accumulate="sum:3")
    assert total.train_step().grad_norm == pytest.approx(3 * mean.train_step().grad_norm, rel=1e-5)


def test_microbatches_of_equal_data_have_no_noise_and_others_have() -> None:
    class Same(ToyStream):
        def next(self) -> Microbatch:
            return toy_batch(torch.linspace(-1, 1, 24).view(4, 6))

    same = toy_trainer(toy_task(stream=Same()), accumulate=4).train_step()
    assert same.microbatch_square == pytest.approx(same.grad_norm**2, rel=1e-5)
    noisy = toy_trainer(accumulate=4).train_step()
    assert noisy.microbatch_square > noisy.grad_norm**2
    assert math.isnan(toy_trainer().train_step().microbatch_square), "one microbatch says nothing"


def test_links_carry_what_was_set() -> None:
    controls = Controls(noise=AddGradNoise(0.3), clip=ClipGradNorm(2.0))
    assert [link.value for link in find_links(controls)] == [controls.clip, controls.noise]


def test_freezing_reads_the_right_norms_when_other_gradients_come_and_go() -> None:
    model = nn.ModuleDict({"frozen": nn.Linear(2, 2), "a": nn.Linear(3, 1), "b": nn.Linear(5, 2)})
    optimizer = sgd(model.parameters())
    with OptimizerTap(model, optimizer, controls=Controls(freeze=Freeze("frozen"))) as tap:
        for step in range(6):
            name, width = (("a", 3), ("b", 5))[step % 2]  # as many gradients each time, and not the same
            optimizer.zero_grad()
            loss = (
                model["frozen"](torch.ones(2)).sum() + model[name](torch.full((width,), step + 1.0)).sum()
            ) ** 2
            loss.backward()
            expected = joint_norm(list(model[name].parameters()))
            tap.microbatch(loss)
            optimizer.step()
            [record] = tap.records()
            assert record.link_norms is not None
            assert record.link_norms[-1] == pytest.approx(expected, rel=1e-5)
