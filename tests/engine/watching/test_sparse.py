"""A model with a sparse embedding: watched like any other, and steered by what makes sense there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vgrad
from vgrad.controls.controls import Controls
from vgrad.events.notices import CommandApplied, CommandRejected
from vgrad.events.step_record import StepRecord
from vgrad.methods.accumulate import MeanOver, SumOver
from vgrad.methods.adaptive_clip import AGC
from vgrad.methods.clip import ClipEachTensor, ClipGradNorm, ClipGradValue
from vgrad.methods.lars import LARS
from vgrad.methods.noise import AddGradNoise
from vgrad.watching.optimizer_tap import OptimizerTap


class Words(nn.Module):
    def __init__(self, *, sparse: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 4, sparse=sparse)
        self.head = nn.Linear(4, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.embed(words).mean(1))


def words(*, sparse: bool) -> Words:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Words(sparse=sparse)


def batches(num: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randint(50, (6, 1 + step % 5), generator=generator),
            torch.randint(3, (6,), generator=generator),
        )
        for step in range(num)
    ]


def trained(model: Words, controls: Controls | None, **settings: Any) -> list[StepRecord]:
    """Six steps; without controls they are not watched."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    tap = None if controls is None else OptimizerTap(model, optimizer, controls=controls, **settings)
    for inputs, targets in batches(6):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        if tap is not None:
            tap.microbatch(loss)
        optimizer.step()
    return [] if tap is None else tap.records(wait=True)


@pytest.mark.parametrize("watch_budget", [0.0, 1.0])
def test_watching_changes_no_bit(watch_budget: float) -> None:
    watched, bare = words(sparse=True), words(sparse=True)
    trained(watched, Controls(), watch_budget=watch_budget)
    trained(bare, None)
    for one, other in zip(watched.parameters(), bare.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "controls",
    [
        Controls(),
        Controls(clip=ClipGradNorm(0.1)),
        Controls(clip=ClipGradValue(0.01)),
        Controls(clip=ClipEachTensor(0.05)),
        Controls(normalize=LARS(), clip=ClipGradNorm(0.1)),
        Controls(accumulate=MeanOver(3)),
        Controls(accumulate=SumOver(2)),
    ],
    ids=["watching", "norm", "value", "tensor", "lars", "accumulate", "sum"],
)
def test_a_sparse_gradient_is_what_the_dense_one_is(controls: Controls) -> None:
    sparse, dense = words(sparse=True), words(sparse=False)
    for one, other in zip(trained(sparse, controls), trained(dense, controls), strict=True):
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-5)
        assert one.applied_norm == pytest.approx(other.applied_norm, rel=1e-5)
        torch.testing.assert_close(torch.from_numpy(one.grad_norms), torch.from_numpy(other.grad_norms))
    for one, other in zip(sparse.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_expensive_statistics_count_what_is_not_there_as_zeros() -> None:
    def stats(*, sparse: bool) -> Any:
        model = words(sparse=sparse)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        with OptimizerTap(model, optimizer, watch_budget=1.0) as tap:
            for inputs, targets in batches(2):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs), targets)
                loss.backward()
                tap.meter.budget.earn(1.0, 0.0, at_most_s=10.0)
                tap.microbatch(loss)
                optimizer.step()
            tap.records(wait=True)
            return copy.deepcopy(tap.stats())

    one, other = stats(sparse=True), stats(sparse=False)
    for name in ("measured_step", "grad_max", "zero_share", "underflow_share", "num_non_finite", "histogram",
                 "update_ratio"):  # fmt: skip
        torch.testing.assert_close(
            torch.from_numpy(getattr(one, name)), torch.from_numpy(getattr(other, name))
        )
    assert 0.5 < one.zero_share[0] < 1.0


@pytest.mark.parametrize(
    "controls",
    [Controls(clip=AGC()), Controls(noise=AddGradNoise())],
    ids=["agc", "noise"],
)
def test_what_needs_dense_gradients_is_switched_off_where_they_turn_out_sparse(controls: Controls) -> None:
    steered, bare = words(sparse=True), words(sparse=True)
    optimizer = torch.optim.SGD(steered.parameters(), lr=0.5)
    dropped: list[tuple[str, str]] = []
    with OptimizerTap(steered, optimizer, controls=controls) as tap:
        tap.on_control_dropped = lambda *what: dropped.append(what)
        for inputs, targets in batches(6):
            optimizer.zero_grad()
            F.cross_entropy(steered(inputs), targets).backward()
            optimizer.step()
        assert tap.controls == Controls()
    [(control, reason)] = dropped
    assert getattr(controls, control) is not None
    assert "needs dense gradients: use Embedding(sparse=False)" in reason
    trained(bare, None)
    for one, other in zip(steered.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_sparse_gradients_that_no_module_announces_are_known_after_a_step() -> None:
    table, head = nn.Parameter(torch.randn(50, 4)), nn.Linear(4, 3)
    model = nn.Module()
    model.table, model.head = table, head
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with vgrad.watch(model, optimizer, record=False) as watch:
        for inputs, targets in batches(2):
            optimizer.zero_grad()
            F.cross_entropy(head(F.embedding(inputs, table, sparse=True).mean(1)), targets).backward()
            optimizer.step()
        answer = watch.apply(vgrad.Set("noise", "0.1"))
        assert isinstance(answer, CommandRejected)
        assert "needs dense gradients" in answer.reason
        assert isinstance(watch.apply(vgrad.Set("clip", "norm:1")), CommandApplied)


def test_many_gradients_that_turn_sparse_within_a_window_are_accumulated() -> None:
    tables = nn.ParameterList([nn.Parameter(torch.ones(9, 4)) for _ in range(40)])
    optimizer = torch.optim.SGD(tables.parameters(), lr=0.1)
    rows = torch.tensor([1, 3])
    with vgrad.watch(tables, optimizer, controls=Controls(accumulate=SumOver(2))) as watch:
        for sparse in (False, False, False, True, True, True):
            optimizer.zero_grad()
            parts = [F.embedding(rows, table, sparse=sparse).square().sum() for table in tables]
            torch.stack(parts).sum().backward()
            optimizer.step()
        assert not watch.is_closed
        first, second, third = watch.records()
    # Each table has 8 entries in a gradient, each twice its weight, and two microbatches add up.
    assert first.grad_norm == pytest.approx(4.0 * (40 * 8) ** 0.5)
    assert second.grad_norm == pytest.approx(0.6 * first.grad_norm)
    assert third.grad_norm == pytest.approx(0.36 * first.grad_norm)
