"""The gradient through time of a recurrent model: expensive, so measured seldom."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

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


# Training steps that one measurement costs: 1 to 2.5 on our recurrent recipes. Verdicts look at measurements
# on a schedule of steps that follows from this; the clock adds others, for the screen alone.
_COST_IN_STEPS = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class _Coming:
    """A measurement on its way to the host.

    Attributes:
        step: Step after which it was made.
        num_layers: Recurrent layers.
        copy: The norms, then the recurrent matrices.
        host_s: What it took of the host's time.
        device_time: What it took of the device's.
        is_scheduled: Whether it was made for the verdicts.
    """

    step: int
    num_layers: int
    copy: HostCopy
    host_s: float
    device_time: DeviceTime
    is_scheduled: bool


class ThroughTimeProbe:
    """Measures ‖dE/dh_t‖ on a microbatch that was just trained on, with the weights as they are then.

    It runs passes of its own, and so touches no gradient, no weight and no random state. The first
    measurement is made at once and not paid for: what is loaded for it may take seconds.

    Args:
        task: A task whose model is recurrent.
        share: Share of the step time that this may take, in [0, 1]; 0 for never.

    Attributes:
        every: Steps between two measurements for the verdicts; None for never.
    """

    def __init__(self, task: Task, share: float) -> None:
        self.every = math.ceil(_COST_IN_STEPS / share) if share > 0 else None
        self._task = task
        self._budget = Budget(share)
        self._cost_s = 0.0
        self._coming: deque[_Coming] = deque()
        self._judged: deque[TimeStats] = deque()  # for the verdicts, which have not come as far yet
        self._clock = DeviceClock(next(task.model.parameters()).device)
        self._matrices = recurrent_matrices(task.model)
        self._stats: TimeStats | None = None
        self._seen: TimeStats | None = None
        self._next_step = 1

    def after_step(self, batch: Microbatch, *, step: int, step_s: float) -> None:
        """Measure, if it is due or can be afforded, and take in what was measured before and has arrived."""
        if self.every is None:
            return
        self._budget.earn(step_s, 0.0, at_most_s=2 * self._cost_s)
        while self._coming and self._coming[0].copy.is_ready:
            self._land()
        if step >= self._next_step:
            self._next_step = step + self.every
            self._coming.append(self._measure(batch, step, is_scheduled=True))
        elif not self._coming and self._budget.affords(self._cost_s):
            self._coming.append(self._measure(batch, step, is_scheduled=False))

    def stats(self) -> TimeStats | None:
        """Return what was measured last, or None."""
        return self._stats

    def stats_at(self, step: int) -> TimeStats | None:
        """Return what verdicts look at after step number ``step``, or None; ask for one step after another.

        It waits for a device only where that has not come as far as ``step``.
        """
        while self._coming and self._coming[0].step <= step:
            self._land()
        while self._judged and self._judged[0].step <= step:
            self._seen = self._judged.popleft()
        return self._seen

    def forget(self, step: int) -> None:
        """Forget all measurements: after ``step`` the weights are others. The next step is measured."""
        self._coming.clear()
        self._judged.clear()
        self._stats = self._seen = None
        self._next_step = step + 1

    def capture(self) -> dict[str, Any]:
        """Return when the next measurement is due, and the measurements; none may be on their way."""
        return {
            "next_step": self._next_step,
            "newest": None if self._stats is None else _as_plain(self._stats),
            "seen": None if self._seen is None else _as_plain(self._seen),
        }

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned."""
        newest, seen = captured["newest"], captured["seen"]
        self.forget(0)
        self._next_step = captured["next_step"]
        self._stats = None if newest is None else _from_plain(newest)
        self._seen = None if seen is None else _from_plain(seen)

    def _measure(self, batch: Microbatch, step: int, *, is_scheduled: bool) -> _Coming:
        begin = time.perf_counter()
        with self._clock:
            norms = hidden_gradients(self._task, batch)
            small = [m.detach().flatten() for _, m in self._matrices if len(m) <= _MAX_HIDDEN]
            values = torch.cat([norms.flatten(), *small]).to(torch.float32)
        copy = HostCopy((), [values])
        host_s = time.perf_counter() - begin
        return _Coming(step, len(norms), copy, host_s, self._clock.take(), is_scheduled)

    def _land(self) -> None:
        coming = self._coming.popleft()
        begin = time.perf_counter()
        is_first = self._stats is None
        self._stats = self._read(coming)
        if coming.is_scheduled:
            self._judged.append(self._stats)
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


def _as_plain(stats: TimeStats) -> dict[str, Any]:
    return {
        **{field.name: getattr(stats, field.name) for field in fields(stats)},
        "norms": torch.from_numpy(stats.norms.copy()),
    }


def _from_plain(plain: Mapping[str, Any]) -> TimeStats:
    return TimeStats(**{**plain, "norms": plain["norms"].numpy()})


def _largest_radius(values: NDArray[np.floating], sizes: list[int]) -> float:
    """Largest |eigenvalue| of the square matrices that lie in ``values`` one after the other."""
    radii: list[float] = []
    begin = 0
    for size in sizes:
        end = begin + size * size
        radii.append(spectral_radius(torch.from_numpy(values[begin:end].reshape(size, size))))
        begin = end
    return max(radii, default=math.nan)
