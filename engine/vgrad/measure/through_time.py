"""The gradient through time of a recurrent model: dear, so measured as seldom as its budget says."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vgrad.events.time_stats import TimeStats
from vgrad.measure.budget import Budget
from vgrad.measure.device_clock import DeviceClock, DeviceTime
from vgrad.measure.hidden_gradients import (
    hidden_gradients,
    ratio,
    recurrent_matrices,
    spectral_radius,
    time_slope,
)
from vgrad.measure.host_copy import HostCopy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.task import Microbatch, Task

# Larger matrices are not carried to the host: even an estimate of theirs takes long.
_MAX_HIDDEN = 1024


@dataclass(frozen=True, slots=True, eq=False)
class _Coming:
    """A measurement on its way to the host.

    Attributes:
        step: Step after which it was made.
        num_layers: Recurrent layers.
        copy: The norms, then the recurrent matrices.
        host_s: What it took of the host's time.
        device_time: What it took of the device's.
    """

    step: int
    num_layers: int
    copy: HostCopy
    host_s: float
    device_time: DeviceTime


class ThroughTimeProbe:
    """Measures ‖dE/dh_t‖ on a microbatch that was just trained on, with the weights as they are then.

    It runs passes of its own, and so touches no gradient, no weight and no random state. The first
    measurement is made at once and not paid for: what is loaded for it may take seconds.

    Args:
        task: A task whose model is recurrent.
        share: Share of the step time that this may take, in [0, 1]; 0 for never.
    """

    def __init__(self, task: Task, share: float) -> None:
        self._task = task
        self._budget = Budget(share)
        self._cost_s = 0.0
        self._stats: TimeStats | None = None
        self._coming: _Coming | None = None
        self._clock = DeviceClock(next(task.model.parameters()).device)
        self._matrices = recurrent_matrices(task.model)

    def after_step(self, batch: Microbatch, *, step: int, step_s: float) -> None:
        """Measure, if it can be afforded, and take in what was measured before, if it has arrived."""
        self._budget.earn(step_s, 0.0, at_most_s=2 * self._cost_s)
        if self._coming is None:
            if self._budget.affords(self._cost_s):
                self._coming = self._measure(batch, step)
        elif self._coming.copy.is_ready:
            self._land(self._coming)
            self._coming = None

    def stats(self) -> TimeStats | None:
        """What was measured last, or None."""
        return self._stats

    def _measure(self, batch: Microbatch, step: int) -> _Coming:
        begin = time.perf_counter()
        with self._clock:
            norms = hidden_gradients(self._task, batch)
            small = [m.detach().flatten() for _, m in self._matrices if len(m) <= _MAX_HIDDEN]
            values = torch.cat([norms.flatten(), *small]).to(torch.float32)
        copy = HostCopy((), [values])
        return _Coming(step, len(norms), copy, time.perf_counter() - begin, self._clock.take())

    def _land(self, coming: _Coming) -> None:
        begin = time.perf_counter()
        is_first = self._stats is None
        self._stats = self._read(coming)
        if is_first:
            return
        # Launching is quick: what counts is what the device then had to do.
        self._cost_s = max(coming.host_s, coming.device_time.seconds()) + time.perf_counter() - begin
        self._budget.spend(self._cost_s)

    def _read(self, coming: _Coming) -> TimeStats:
        _, values = coming.copy.read()
        sizes = [len(m) for _, m in self._matrices if len(m) <= _MAX_HIDDEN]
        num_norms = len(values) - sum(size * size for size in sizes)
        norms = values[:num_norms].reshape(coming.num_layers, -1).astype(np.float32)
        return TimeStats(
            step=coming.step,
            norms=norms,
            slope=time_slope(norms[-1]),
            ratio=ratio(norms[-1]),
            spectral_radius=_largest_radius(values[num_norms:], sizes),
            names=tuple(name for name, _ in self._matrices),
        )


def _largest_radius(values: NDArray[np.floating], sizes: list[int]) -> float:
    """Largest |eigenvalue| of the square matrices that lie in ``values`` one after the other."""
    radii: list[float] = []
    begin = 0
    for size in sizes:
        end = begin + size * size
        radii.append(spectral_radius(torch.from_numpy(values[begin:end].reshape(size, size))))
        begin = end
    return max(radii, default=math.nan)
