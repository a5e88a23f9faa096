"""Statistics of the recent steps: their speed, the share that was clipped, the noise of their gradients."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from vgrad.controls.catalog import CLIP
from vgrad.events.step_record import LOOP_CLIP
from vgrad.measure.noise_scale import MIN_OBSERVATIONS, NoiseScale
from vgrad.methods.accumulate import SumOver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.controls.controls import Controls
    from vgrad.events.step_block import StepBlock

_RATE_S = 3.0  # recent seconds that speeds are taken over
_NOISE_STEPS = 4096  # of a long block; the average keeps 1e-18 of a step so far back
_CLIP_STEPS = 100  # recent steps that the share of clipped ones is taken over


class Speed:
    """Optimizer steps, and tokens or samples, per second of training; pauses are left out."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int, int]] = deque()  # seconds, steps, items up to then
        self._num_items = 0

    def take(self, block: StepBlock, *, tokens: bool) -> None:
        """Take steps into account; count their tokens or their samples."""
        num_items = block.num_tokens if tokens else block.num_samples
        if not self._marks:
            self._marks.append((float(block.elapsed_s[0]), int(block.step[0]), int(num_items[0])))
        self._num_items += int(num_items.sum())
        elapsed_s = float(block.elapsed_s[-1])
        self._marks.append((elapsed_s, int(block.step[-1]), self._num_items))
        while len(self._marks) > 2 and elapsed_s - self._marks[1][0] > _RATE_S:
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


class ClipShare:
    """How many of the last 100 steps were clipped, and by how much."""

    def __init__(self) -> None:
        self._steps: deque[tuple[bool, float, float]] = deque(maxlen=_CLIP_STEPS)
        self._since = 0

    def restart(self, step: int) -> None:
        """From ``step`` on there is other clipping than there was."""
        self._since = step
        self._steps.clear()

    def take(self, block: StepBlock) -> None:
        """Take steps into account, oldest first."""
        block = block[-_CLIP_STEPS:]
        block = block[block.step >= self._since]
        before, after = _around_clip(block)
        with np.errstate(invalid="ignore"):  # an infinite norm stays what it is without clipping
            # Rescaling by exactly 1 is no clipping; rounding alone cannot pass this.
            fired = np.abs(after - before) > 1e-6 * before
        self._steps.extend(zip(fired.tolist(), before.tolist(), after.tolist(), strict=True))

    def share_and_medians(self) -> tuple[float, float, float]:
        """Share of steps that were clipped, and the median norm before and after it; NaN at first."""
        if not self._steps:
            return math.nan, math.nan, math.nan
        fired, before, after = np.array(self._steps, dtype=np.float64).T
        return float(fired.mean()), float(np.median(before)), float(np.median(after))


class Noise:
    """The gradient noise scale since the gradient last became another one."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, step: int) -> None:
        """From ``step`` on the gradient is another one, and so is its noise."""
        self._scale, self._since = NoiseScale(), step

    def take(self, block: StepBlock, controls: Controls) -> None:
        """Take steps of a run with these controls into account."""
        block = block[-_NOISE_STEPS:]
        is_sum = isinstance(controls.accumulate, SumOver)
        is_known = (block.step >= self._since) & (block.num_microbatches > 1)
        for row in np.flatnonzero(is_known & (block.num_samples % block.num_microbatches == 0)).tolist():
            k = int(block.num_microbatches[row])  # of equal size
            norm = float(block.grad_norm[row]) / (k if is_sum else 1)
            square = float(block.microbatch_square[row])
            self._scale.observe(square, norm * norm, k, int(block.num_samples[row]) // k)

    def value(self, accumulation_steps: int) -> tuple[float, str]:
        """The noise scale in samples, and where it is NaN, why it is undetermined."""
        if accumulation_steps < 2:
            return math.nan, "accumulate at least 2"
        observed = self._scale.num_observations
        if observed < MIN_OBSERVATIONS:
            return math.nan, f"{MIN_OBSERVATIONS - observed} more steps"
        value = self._scale.value()
        return value, "the noise drowns the gradient" if math.isnan(value) else ""


def _around_clip(block: StepBlock) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joint norms before and after clipping alone, shape ``(n,)``; equal where the chain has no such link.

    Where no control clips, this is the clipping that the loop does itself.
    """
    if block.link_norms is None:
        return block.grad_norm, block.applied_norm
    norms = np.column_stack((block.grad_norm, block.link_norms.astype(np.float64)))
    names = [link.control for link in block.links]
    for name in (CLIP.name, LOOP_CLIP):
        if name in names:
            position = names.index(name)
            return norms[:, position], norms[:, position + 1]
    return block.grad_norm, block.grad_norm
