"""Accumulating microbatches equals training on their union."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.toys import MakeOptimizer, ToyStream, sgd, toy_model, toy_task, toy_trainer
from torch import Tensor, nn

from vgrad.controls.controls import Set
from vgrad.events.notices import CommandApplied
from vgrad.methods.accumulation_window import AccumulationWindow, Announced
from vgrad.task import Task

LIMIT = 1e-12  # float64: only the order of summation differs


def gradients_of(model: nn.Module, rows: Tensor) -> list[Tensor]:
    model.zero_grad()
    model(rows).square().mean().backward()
    return [param.grad for param in model.parameters()]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.integers(0, 1000))
def test_the_mean_over_a_window_is_the_mean_over_its_items(lengths: list[int], seed: int) -> None:
    model = toy_model(dtype=torch.float64)
    rows = torch.randn(sum(lengths), 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    whole = [grad.clone() for grad in gradients_of(model, rows)]
    whole_loss = model(rows).square().mean()

    window = AccumulationWindow(tuple(model.parameters()))
    for count, part in enumerate(rows.split(lengths), start=1):
        assert all(param.grad is None for param in model.parameters()) or count == 1
        model.zero_grad()
        loss = model(part).square().mean()
        loss.backward()
        window.announce(Announced(loss.detach(), len(part), 1))
        assert window.close_if_full(len(lengths)) is (count == len(lengths))

    for param, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(param.grad, expected, rtol=LIMIT, atol=1e-14)
    torch.testing.assert_close(window.loss, whole_loss.detach(), rtol=LIMIT, atol=0)
    assert (window.num_tokens, window.num_microbatches) == (sum(lengths), len(lengths))


class Branches(nn.Module):
    """Uses one of two heads, so that in each microbatch one of them has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(6, 1), nn.Linear(6, 1), nn.Linear(6, 1)])

    def forward(self, rows: Tensor, head: int) -> Tensor:
        return self.heads[head](rows)


@pytest.mark.parametrize("used", [(0, 1, 0), (1, 1, 0), (0, 0, 1, 1)])
def test_a_parameter_that_some_microbatches_do_not_reach_counts_as_zero_there(used: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = Branches().double()
    parts = [torch.randn(3 + index, 6, dtype=torch.float64) for index in range(len(used))]
    num_items = sum(map(len, parts))
    sum(model(part, head).square().sum() for part, head in zip(parts, used, strict=True)).div(
        num_items
    ).backward()
    expected = [param.grad for param in model.parameters()]

    window = AccumulationWindow(tuple(model.parameters()))
    for part, head in zip(parts, used, strict=True):
        model.zero_grad()
        loss = model(part, head).square().mean()
        loss.backward()
        window.announce(Announced(loss.detach(), len(part), 1))
        full = window.close_if_full(len(used))
    assert full
    for param, grad in zip(model.parameters(), expected, strict=True):
        if grad is None:
            assert param.grad is None, (
                "what nothing reached must not get a gradient of zeros: Adam would move it"
            )
        else:
            torch.testing.assert_close(param.grad, grad, rtol=LIMIT, atol=1e-14)


def test_a_window_of_one_hands_the_gradients_through_untouched() -> None:
    model = toy_model()
    before = gradients_of(model, torch.randn(4, 6))
    window = AccumulationWindow(tuple(model.parameters()))
    window.announce(Announced(torch.tensor(1.0), 4, 1))
    assert window.close_if_full(1)
    assert all(param.grad is grad for param, grad in zip(model.parameters(), before, strict=True))


def float64_task(lengths: list[int], *, epoch: int = 0, optimizer: MakeOptimizer = sgd) -> Task:
    stream = ToyStream(lengths, epoch=epoch, dtype=torch.float64)
    return toy_task(optimizer, model=toy_model(dtype=torch.float64), stream=stream)


def merged(lengths: list[int], window: int) -> list[int]:
    return [sum(lengths[start : start + window]) for start in range(0, len(lengths), window)]


def assert_same_weights(one: nn.Module, other: nn.Module, limit: float = 1e-11) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=limit, atol=limit)


@pytest.mark.parametrize("lengths", [[2] * 20, [5, 50, 3, 20] * 5], ids=["equal", "unequal"])
@pytest.mark.parametrize(
    "optimizer", [sgd, torch.optim.Adam, torch.optim.AdamW], ids=["sgd", "adam", "adamw"]
)
def test_a_run_on_four_microbatches_a_step_equals_one_on_their_union(
    lengths: list[int], optimizer: MakeOptimizer
) -> None:
    small = float64_task(lengths, optimizer=optimizer)
    large = float64_task(merged(lengths, 4), optimizer=optimizer)
    ours, theirs = toy_trainer(small, accumulate=4), toy_trainer(large)
    for _ in range(5):
        mine, other = ours.train_step(), theirs.train_step()
        assert mine.loss == pytest.approx(other.loss, rel=1e-10)
        assert mine.grad_norm == pytest.approx(other.grad_norm, rel=1e-10)
        assert (mine.num_microbatches, other.num_microbatches) == (4, 1)
        assert mine.num_tokens == other.num_tokens
    assert_same_weights(small.model, large.model)


def test_an_epochs_last_window_is_a_short_one_and_weighs_what_it_holds() -> None:
    lengths = [2, 2, 2, 2, 2, 3, 1, 2, 2, 2, 2, 3]  # epochs of 6 microbatches: windows of 4, 2, 4, 2
    small = float64_task(lengths, epoch=6)
    large = float64_task([8, 5, 7, 5])
    ours, theirs = toy_trainer(small, accumulate=4), toy_trainer(large)
    sizes = []
    for _ in range(4):
        record = ours.train_step()
        assert record.loss == pytest.approx(theirs.train_step().loss, rel=1e-10)
        sizes.append((record.num_microbatches, record.num_tokens))
    assert sizes == [(4, 8), (2, 5), (4, 7), (2, 5)]
    assert_same_weights(small.model, large.model)


def test_the_datas_end_closes_the_window_with_what_there_is() -> None:
    small = float64_task([2, 2, 2, 4, 3])
    large = float64_task([6, 7])
    ours, theirs = toy_trainer(small, accumulate=3), toy_trainer(large)
    records = []
    while not ours.is_exhausted:
        records += ours.advance()
    assert [(record.num_microbatches, record.num_tokens) for record in records] == [(3, 6), (2, 7)]
    assert [record.loss for record in records] == pytest.approx([theirs.train_step().loss for _ in range(2)])
    assert_same_weights(small.model, large.model)
    with pytest.raises(StopIteration):
        ours.train_step()


def test_a_window_changed_mid_run_changes_at_the_next_step_and_loses_nothing() -> None:
    small = float64_task([2] * 9)
    large = float64_task([2, 8, 4, 2, 2])
    ours, theirs = toy_trainer(small), toy_trainer(large)
    for step, size in enumerate((1, 4, 2, 1, 1), start=1):
        answer = ours.apply(Set("accumulate", size))
        assert isinstance(answer, CommandApplied)
        assert answer.step == step
        record = ours.train_step()
        assert (record.step, record.num_microbatches, record.num_tokens) == (step, size, 2 * size)
        assert record.loss == pytest.approx(theirs.train_step().loss, rel=1e-10)
    assert_same_weights(small.model, large.model)


def test_half_precision_gradients_of_large_counts_do_not_overflow() -> None:
    param = nn.Parameter(torch.zeros(3, dtype=torch.float16))
    window = AccumulationWindow((param,))
    for count in (40_000, 60_000, 60_000):
        param.grad = torch.full_like(param, 2.0)
        window.announce(Announced(torch.tensor(2.0), count, 1))
        full = window.close_if_full(3)
    assert full
    torch.testing.assert_close(param.grad, torch.full_like(param, 2.0))


def test_samples_weigh_where_there_are_no_tokens() -> None:
    param = nn.Parameter(torch.zeros(()))
    window = AccumulationWindow((param,))
    for value, num_samples in ((1.0, 1), (5.0, 3)):
        param.grad = torch.tensor(value)
        window.announce(Announced(torch.tensor(value), 0, num_samples))
        window.close_if_full(2)
    assert param.grad.item() == window.loss.item() == 4.0
    assert window.num_samples == 4
