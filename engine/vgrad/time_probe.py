"""The gradient through time of a recurrent model: dear, so measured as seldom as its budget says."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from vgrad.budget import Budget
from vgrad.recipes.through_time import hidden_gradients, ratio, recurrent_matrices, slope, spectral_radius
from vgrad.records import TimeStats
from vgrad.transfer import HostCopy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.recipes.task import Microbatch, Task

# Larger matrices are not carried to the host: even an estimate of theirs takes long.
_MAX_HIDDEN = 1024


class TimeProbe:
    """Measures ‖dE/dh_t‖ on a microbatch that was just trained on, with the weights as they are then.

    It runs passes of its own, and so touches no gradient, no weight and no random state.

    Args:
        task: A task whose model is recurrent.
        share: Share of the step time that this may take, in [0, 1]; 0 for never.
    """

    def __init__(self, task: Task, share: float) -> None:
        self._task = task
        self._budget = Budget(share)
        self._cost_s = 0.0  # the first measurement is made at once, and paid for later
        self._stats: TimeStats | None = None
        self._coming: tuple[int, int, HostCopy] | None = None
        self._matrices = recurrent_matrices(task.model)

    def after_step(self, batch: Microbatch, *, step: int, step_s: float) -> None:
        """Measure, if it can be afforded, and take in what was measured a step ago."""
        self._budget.earn(step_s, 0.0, at_most_s=2 * self._cost_s)
        if not self._budget.affords(self._cost_s) and self._coming is None:
            return
        begin = time.perf_counter()
        if self._coming is not None:
            self._land()
            self._cost_s += time.perf_counter() - begin
        else:
            self._cost_s = 0.0
            norms = hidden_gradients(self._task, batch)
            small = [m.detach().flatten() for _, m in self._matrices if len(m) <= _MAX_HIDDEN]
            copy = HostCopy((), [torch.cat([norms.flatten(), *small]).to(torch.float32)])
            self._coming = step, len(norms), copy
            self._cost_s += time.perf_counter() - begin
        self._budget.spend(time.perf_counter() - begin)

    def stats(self) -> TimeStats | None:
        """What was measured last, or None."""
        return self._stats

    def _land(self) -> None:
        assert self._coming is not None
        step, num_layers, copy = self._coming
        self._coming = None
        _, values = copy.read()
        sizes = [len(m) for _, m in self._matrices if len(m) <= _MAX_HIDDEN]
        num_norms = len(values) - sum(size * size for size in sizes)
        norms = values[:num_norms].reshape(num_layers, -1).astype(np.float32)
        self._stats = TimeStats(
            step=step,
            norms=norms,
            slope=slope(norms[-1]),
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
