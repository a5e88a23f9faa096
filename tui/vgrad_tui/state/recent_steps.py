"""What the recent steps come to: how fast they were, how many were clipped, how noisy. Knows no screen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from vgrad.controls.catalog import CLIP
from vgrad.controls.controls import Controls
from vgrad.events.step_record import StepRecord
from vgrad.measure.noise_scale import MIN_OBSERVATIONS, NoiseScale
from vgrad.methods.accumulate import SumOver

_RATE_S = 3.0  # recent seconds that speeds are taken over
_FIRES_STEPS = 100  # recent steps that the share of clipped ones is taken over


class Speed:
    """Optimizer steps, and tokens or samples, per second of training; pauses are left out."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int, int]] = deque()  # seconds, steps, items up to then
        self._num_items = 0

    def take(self, records: Sequence[StepRecord], *, tokens: bool) -> None:
        """Take steps into account, oldest first; count their tokens or their samples."""
        self._num_items += sum(r.num_tokens if tokens else r.num_samples for r in records)
        last = records[-1]
        self._marks.append((last.elapsed_s, last.step, self._num_items))
        while len(self._marks) > 2 and last.elapsed_s - self._marks[1][0] > _RATE_S:
            self._marks.popleft()

    def steps_per_s(self) -> float:
        """Optimizer steps per second; NaN at first."""
        return self._per_s(1)

    def items_per_s(self) -> float:
        """Tokens (or samples) per second; NaN at first."""
        return self._per_s(2)

    def _per_s(self, index: int) -> float:
        if len(self._marks) < 2:
            return math.nan
        first, last = self._marks[0], self._marks[-1]
        seconds = last[0] - first[0]
        return (last[index] - first[index]) / seconds if seconds > 0 else math.nan


class Clipped:
    """How many of the last 100 steps were clipped, and by how much."""

    def __init__(self) -> None:
        self._fires: deque[tuple[bool, float, float]] = deque(maxlen=_FIRES_STEPS)
        self._since = 0

    def restart(self, step: int) -> None:
        """From ``step`` on there is other clipping than there was."""
        self._since = step
        self._fires.clear()

    def take(self, records: Sequence[StepRecord]) -> None:
        """Take steps into account, oldest first."""
        for record in records[-_FIRES_STEPS:]:
            if record.step < self._since:
                continue
            before, after = _around_clip(record)
            # Rescaling by exactly 1 is no clipping; rounding alone cannot pass this.
            self._fires.append((abs(after - before) > 1e-6 * before, before, after))

    def share_and_medians(self) -> tuple[float, float, float]:
        """Share of steps that were clipped, and the median norm before and after it; NaN at first."""
        if not self._fires:
            return math.nan, math.nan, math.nan
        fired, before, after = np.array(self._fires, dtype=np.float64).T
        return float(fired.mean()), float(np.median(before)), float(np.median(after))


class Noise:
    """The gradient noise scale since the gradient last became another one."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, step: int) -> None:
        """From ``step`` on the gradient is another one, and so is its noise."""
        self._scale, self._since = NoiseScale(), step

    def take(self, records: Sequence[StepRecord], controls: Controls) -> None:
        """Take steps of a run with these controls into account."""
        is_sum = isinstance(controls.accumulate, SumOver)
        for record in records:
            k = record.num_microbatches
            if record.step < self._since or record.num_samples % k:
                continue  # of another gradient than there is now, or of unequal microbatches
            norm = record.grad_norm / k if is_sum else record.grad_norm
            self._scale.observe(record.microbatch_square, norm**2, k, record.num_samples // k)

    def value(self, accumulation_steps: int) -> tuple[float, str]:
        """The noise scale in samples, and where it is NaN, why it is undetermined."""
        if accumulation_steps < 2:
            return math.nan, "accumulate at least 2"
        observed = self._scale.num_observations
        if observed < MIN_OBSERVATIONS:
            return math.nan, f"{MIN_OBSERVATIONS - observed} more steps"
        value = self._scale.value()
        return value, "the noise drowns the gradient" if math.isnan(value) else ""


def _around_clip(record: StepRecord) -> tuple[float, float]:
    """Joint norm before and after clipping alone; equal where the chain has no such link."""
    if record.link_norms is None:
        return record.grad_norm, record.applied_norm
    norms = [record.grad_norm, *record.link_norms.tolist()]
    for position, link in enumerate(record.links):
        if link.control == CLIP.name:
            return norms[position], norms[position + 1]
    return record.grad_norm, record.grad_norm
