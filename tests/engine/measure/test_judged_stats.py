"""What verdicts look at: right, on a schedule of steps, and the same again after a restore."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from vgrad.gradients.layers import find_layers
from vgrad.measure import judged_stats
from vgrad.measure.judged_stats import LOOK_EVERY, JudgedStatsProbe, steps_between


def model_of(sizes: tuple[int, ...] = (8, 6, 4)) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(*(nn.Linear(*pair) for pair in itertools.pairwise(sizes)))
    for param in model.parameters():
        param.data = torch.randn(param.shape, generator=generator)
        param.grad = torch.randn(param.shape, generator=generator)
    return model


def measure(probe: JudgedStatsProbe, model: nn.Module, step: int, lr: float = 0.5) -> None:
    probe.before_transforms(step)
    probe.before_step()
    with torch.no_grad():
        for param in model.parameters():
            if param.grad is not None:
                param -= lr * param.grad
    probe.after_step(step)


def test_the_numbers_are_those_of_the_gradient_and_of_the_real_step() -> None:
    model = model_of()
    first, second = model[0], model[1]
    first.weight.grad[0] = 0.0  # 8 of 54
    first.bias.grad.fill_(2.0**-25)  # float16 rounds it to zero; 6 more
    before = torch.cat([first.weight.detach().flatten(), first.bias.detach()])
    probe = JudgedStatsProbe(find_layers(model), 1.0)
    assert probe.every is not None
    measure(probe, model, probe.every)
    stats = probe.stats_at(probe.every)
    assert stats is not None
    moved = torch.cat([first.weight.detach().flatten(), first.bias.detach()]) - before
    assert stats.measured_step.tolist() == [probe.every] * 2
    assert stats.weight_norm[0] == pytest.approx(before.norm().item())
    assert stats.update_ratio[0] == pytest.approx((moved.norm() / before.norm()).item())
    assert stats.zero_share.tolist() == pytest.approx([8 / 54, 0.0])
    assert stats.underflow_share.tolist() == pytest.approx([14 / 54, 0.0])
    assert second.weight.grad is not None


def test_a_loss_scale_saves_what_would_underflow_and_a_scale_still_on_the_gradient_does_not_count() -> None:
    model = model_of()
    model[0].bias.grad.fill_(2.0**-25)
    probe = JudgedStatsProbe(find_layers(model), 1.0)
    assert probe.every is not None
    probe.loss_scale = 4.0
    measure(probe, model, probe.every)
    assert probe.stats_at(probe.every).underflow_share[0] == 0.0  # type: ignore[union-attr]
    probe.loss_scale, probe.grad_scale = torch.tensor(1.0), torch.tensor(0.5)
    for param in model.parameters():
        param.grad *= 0.5
    measure(probe, model, 2 * probe.every)
    assert probe.stats_at(2 * probe.every).underflow_share[0] == pytest.approx(6 / 54)  # type: ignore[union-attr]


def test_a_layer_without_a_gradient_is_not_known_and_a_sparse_one_counts_whole() -> None:
    model = nn.Sequential(nn.Embedding(10, 3, sparse=True), nn.Linear(3, 2))
    model[0].weight.grad = torch.sparse_coo_tensor([[4]], torch.ones(1, 3), (10, 3), check_invariants=True)
    probe = JudgedStatsProbe(find_layers(model), 1.0)
    assert probe.every is not None
    probe.before_transforms(probe.every)
    probe.before_step()
    probe.after_step(probe.every)
    stats = probe.stats_at(probe.every)
    assert stats is not None
    assert stats.zero_share[0] == pytest.approx(0.9) and np.isnan(stats.zero_share[1])
    assert stats.update_ratio.tolist() == [0.0, 0.0]


def test_only_steps_of_the_schedule_are_measured_and_seen_from_their_own_step_on() -> None:
    model = model_of()
    probe = JudgedStatsProbe(find_layers(model), 0.02)
    assert probe.every is not None
    seen = []
    for step in range(1, 2 * probe.every + 1):
        measure(probe, model, step, lr=0.0)
    for step in range(1, 2 * probe.every + 1):
        stats = probe.stats_at(step)
        seen.append(0 if stats is None else int(stats.measured_step[0]))
    assert seen == [0] * (probe.every - 1) + [probe.every] * probe.every + [2 * probe.every]


def test_a_large_model_is_measured_in_groups_that_are_done_by_the_multiple(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judged_stats, "_MOST_ENTRIES", 60)
    model = model_of((8, 6, 4, 2, 100, 1))
    probe = JudgedStatsProbe(find_layers(model), 1.0)
    assert probe.every is not None
    for step in range(1, probe.every + 1):
        measure(probe, model, step, lr=0.0)
    stats = probe.stats_at(probe.every)
    assert stats is not None
    ends = [probe.every - 3, probe.every - 2, probe.every - 2, probe.every - 1, probe.every]
    assert stats.measured_step.tolist() == ends
    assert np.isfinite(stats.update_ratio).all()


def test_the_schedule_follows_from_size_and_budget_alone() -> None:
    small, large = ([4160] * 51, 102), ([4_000_000] * 30, 60)
    for sizes, tensors in (small, large):
        every = steps_between(sizes, tensors, 0.01)
        assert every is not None and every % LOOK_EVERY == 0 and every <= 4 * LOOK_EVERY
        assert steps_between(sizes, tensors, 0.001) > every
        assert steps_between(sizes, tensors, 0.0) is None


def test_captured_and_put_back_it_says_the_same() -> None:
    model = model_of()
    probe, other = (JudgedStatsProbe(find_layers(model), 1.0) for _ in range(2))
    assert probe.every is not None
    other.restore_(probe.capture())
    assert other.stats_at(1) is None
    measure(probe, model, probe.every)
    stats = probe.stats_at(probe.every)
    other.restore_(probe.capture())
    again = other.stats_at(probe.every)
    assert stats is not None and again is not None
    for name in ("measured_step", "update_ratio", "zero_share", "underflow_share"):
        assert np.array_equal(getattr(stats, name), getattr(again, name))
    other.forget()
    assert other.stats_at(probe.every) is None
