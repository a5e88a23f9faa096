"""How much gradient the first layer gets, compared with the last."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vgrad.diagnose.explosion_onset import WINDOW
from vgrad.diagnose.layer_activity import LayerActivity
from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.symptoms import RATIO_VANISHING


class GradientEnds(JudgePart):
    """The gradients of the first and the last layer that are used, over the last 100 steps.

    Args:
        layer_sizes: Entries of each layer.

    Attributes:
        first: Index of the first layer that ever got a gradient.
        last: Index of the last one.
        ratio_first: The ratio of the first step; NaN where neither end got anything.
        ratio_early: The ratio when the first steps were over; NaN before that.
        ratio_stalled: The ratio at the first look of the stall that lasts; NaN while there is none.
    """

    def __init__(self, layer_sizes: Sequence[int]) -> None:
        self.first, self.last = 0, len(layer_sizes) - 1
        self.ratio_first = math.nan
        self.ratio_early = math.nan
        self.ratio_stalled = math.nan
        self._roots = tuple(math.sqrt(size) for size in layer_sizes)
        self._rms: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def observe(self, grad_norms: NDArray[np.float32], activity: LayerActivity) -> None:
        """Take the finite norms of one step into account, shape ``(num_layers,)``."""
        first, last = self.first, self.last
        if first > 0 or last < len(self._roots) - 1 or not (activity.ever[0] and activity.ever[-1]):
            self.first, self.last = first, last = activity.ends()
        is_first = not self._rms
        self._rms.append(
            (float(grad_norms[first]) / self._roots[first], float(grad_norms[last]) / self._roots[last])
        )
        if is_first:
            self.ratio_first = self.ratio()

    def look(self, *, is_stalled: bool) -> None:
        """Remember the ratio of the first look, and that of the first look of a stall while it lasts."""
        if math.isnan(self.ratio_early):
            self.ratio_early = self.ratio()
        if not is_stalled:
            self.ratio_stalled = math.nan
        elif math.isnan(self.ratio_stalled):
            self.ratio_stalled = self.ratio()

    @property
    def is_starved(self) -> bool:
        """Whether the first layer gets next to nothing."""
        return not self.ratio() >= RATIO_VANISHING  # NaN: neither end gets anything

    def ratio(self) -> float:
        """Median ratio of the root-mean-square gradients of the first and the last layer."""
        rms = np.array(self._rms, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.median(rms[:, 0] / rms[:, 1]))
