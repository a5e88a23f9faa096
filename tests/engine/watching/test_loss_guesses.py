"""What a uniform guess costs in a loop: of the losses of one step together, and only while it holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgrad.run.watched_loop import watch
from vgrad.watching.watch import Watch

INPUTS, KINDS = torch.randn(16, 4), torch.randint(0, 3, (16,))


def loop(model: nn.Module, optimizer: torch.optim.Optimizer, losses: list[Tensor]) -> None:
    optimizer.zero_grad()
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def watched() -> tuple[nn.Module, torch.optim.Optimizer, Watch]:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return model, optimizer, watch(model, optimizer, record=False)


def uniform_of(watched_by: Watch) -> float:
    return watched_by.parts[0].guesses.uniform


def by_hand(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def test_the_losses_of_one_step_add_up() -> None:
    model, optimizer, watched_by = watched()
    with watched_by:
        loop(model, optimizer, [F.cross_entropy(model(INPUTS), KINDS)])
        assert uniform_of(watched_by) == pytest.approx(math.log(3))
    model, optimizer, watched_by = watched()
    with watched_by:
        loop(model, optimizer, [F.cross_entropy(model(INPUTS), KINDS) for _ in range(2)])
        assert uniform_of(watched_by) == pytest.approx(2 * math.log(3))


def test_a_scaled_loss_is_known_as_it_was_before() -> None:
    model, optimizer, watched_by = watched()
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with watched_by:
        loop(model, optimizer, [scaler.scale(F.cross_entropy(model(INPUTS), KINDS))])
        assert uniform_of(watched_by) == pytest.approx(math.log(3))


def test_it_is_forgotten_when_the_loop_changes_its_loss() -> None:
    model, optimizer, watched_by = watched()
    with watched_by:
        for step in range(60):
            loss = F.cross_entropy(model(INPUTS), KINDS)
            loop(model, optimizer, [loss if step < 30 else loss + model.weight.square().sum()])
            if step == 29:
                assert uniform_of(watched_by) == pytest.approx(math.log(3))
        assert math.isnan(uniform_of(watched_by))


def test_it_is_not_known_of_losses_that_the_loop_reports_itself() -> None:
    model, optimizer, watched_by = watched()
    with watched_by:
        loop(model, optimizer, [F.cross_entropy(model(INPUTS), KINDS)])
        watched_by.log(loss=17.0)
        assert math.isnan(uniform_of(watched_by))


@pytest.mark.parametrize("loss_fn", [F.mse_loss, by_hand])
def test_a_recurrent_model_at_its_floor_of_noise_is_neither_lost_nor_vanishing(
    loss_fn: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Only the last input matters, and the first loss is low by luck."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    recurrent, head = nn.RNN(4, 24, batch_first=True), nn.Linear(24, 1)
    model = nn.ModuleList([recurrent, head])
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    kinds = []
    with watch(model, optimizer, record=False) as watched_by:
        for step in range(600):
            inputs = torch.randn(16, 24, 4, generator=generator)
            noise = torch.randn(16, 1, generator=generator)
            targets = 0.6**0.5 * inputs[:, -1, :1] + 0.4**0.5 * noise
            loop(model, optimizer, [loss_fn(head(recurrent(inputs)[0][:, -1]), targets)])
            if step >= 300:
                kinds.append(watched_by.verdict.kind)
        assert watched_by.parts[0].guesses.over_constant < 0.8
    assert set(kinds) <= {"healthy", "stalled"}
