"""The expensive statistics of single layers: what they are, what they cost, and who pays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from vgrad.events.layer_stats import LayerStats
from vgrad.gradients.layers import find_layers
from vgrad.measure.budget import Budget
from vgrad.measure.device_clock import DeviceClock, DeviceTime
from vgrad.measure.layer_stats import LayerStatsProbe, Picked


@dataclass
class Mark:
    """An event of a device that there is not everywhere: when it was reached."""

    ms: float

    def elapsed_time(self, later: Mark) -> float:
        return later.ms - self.ms


def probe_of(budget: Budget) -> LayerStatsProbe:
    model = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 10))
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    budget.earn(1.0, 0.0, at_most_s=10.0)
    return LayerStatsProbe(find_layers(model), budget)


def measure(probe: LayerStatsProbe) -> tuple[Picked, np.ndarray]:
    probe.before_transforms()
    probe.before_step()
    picked, vectors = probe.after_step()
    return picked, torch.cat(vectors).numpy()


def test_the_first_measurement_is_free_and_the_next_is_paid_for() -> None:
    budget = Budget(0.5)
    probe = probe_of(budget)
    saved_s = budget._saved_s
    picked, _ = measure(probe)
    assert picked.indices == [0, 1]
    assert budget._saved_s == saved_s
    again, _ = measure(probe)
    assert budget._saved_s == pytest.approx(saved_s - again.host_s)


def test_a_device_s_own_time_is_paid_for_and_expected_by_size() -> None:
    budget = Budget(0.5)
    probe = probe_of(budget)
    measure(probe)
    picked, values = measure(probe)
    saved_s = budget._saved_s
    took = DeviceTime([Mark(10.0), Mark(110.0), Mark(200.0), Mark(500.0)])  # type: ignore[list-item]
    assert took.seconds() == pytest.approx(0.4)
    probe.store(2, Picked(picked.indices, picked.host_s, took, is_paid=True), values)
    assert budget._saved_s == pytest.approx(saved_s - (0.4 - picked.host_s))
    share = 930 / (930 + 310)  # entries of the larger layer
    assert probe.max_cost_s == pytest.approx(0.4 * share)


def test_a_cpu_has_no_time_of_its_own() -> None:
    clock = DeviceClock(torch.device("cpu"))
    with clock:
        torch.ones(3).sum()
    assert clock.take().seconds() == 0.0


def test_entries_too_small_for_float32_are_not_zeros() -> None:
    layer = nn.Linear(4, 4, bias=False, dtype=torch.float64)
    layer.weight.grad = torch.full((4, 4), 1e-60, dtype=torch.float64)
    layer.weight.grad[0, 0] = 0.0
    assert stats_of(layer).zero_share.tolist() == [1 / 16]


def test_the_norm_of_half_precision_weights_may_be_larger_than_half_precision_holds() -> None:
    layer = nn.Linear(1000, 1, bias=False, dtype=torch.float16)
    nn.init.constant_(layer.weight, 3000.0)
    layer.weight.grad = torch.ones_like(layer.weight)
    assert stats_of(layer).weight_norm.tolist() == pytest.approx([3000 * math.sqrt(1000)], rel=1e-3)


def stats_of(layer: nn.Module) -> LayerStats:
    """Statistics of a model of one layer, around a step that changes nothing."""
    budget = Budget(0.5)
    budget.earn(1.0, 0.0, at_most_s=10.0)
    probe = LayerStatsProbe(find_layers(nn.Sequential(layer)), budget)
    picked, values = measure(probe)
    probe.store(1, picked, values)
    return probe.snapshot()
