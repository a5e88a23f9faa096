"""How much gradient the first layer gets, compared with the last."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vgrad.diagnose.explosions import WINDOW
from vgrad.diagnose.part import JudgePart
from vgrad.diagnose.rules import RATIO_VANISHING


class GradientEnds(JudgePart):
    """The gradients of the first and the last layer over the last 100 steps.

    Args:
        layer_sizes: Entries of each layer.

    Attributes:
        ratio_first: The ratio of the first step; NaN where neither end got anything.
        ratio_early: The ratio when the first steps were over; NaN before that.
    """

    def __init__(self, layer_sizes: Sequence[int]) -> None:
        self.ratio_first = math.nan
        self.ratio_early = math.nan
        self._num_entries = (layer_sizes[0], layer_sizes[-1])
        self._norms: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def observe(self, grad_norms: NDArray[np.float32]) -> None:
        """Take the finite norms of one step into account, shape ``(num_layers,)``."""
        is_first = not self._norms
        self._norms.append((float(grad_norms[0]), float(grad_norms[-1])))
        if is_first:
            self.ratio_first = self.ratio()

    def look(self) -> None:
        """Remember the ratio of the first look."""
        if math.isnan(self.ratio_early):
            self.ratio_early = self.ratio()

    @property
    def is_starved(self) -> bool:
        """Whether the first layer gets next to nothing."""
        return not self.ratio() >= RATIO_VANISHING  # NaN: neither end gets anything

    def ratio(self) -> float:
        """Median ratio of the root-mean-square gradients of the first and the last layer."""
        ends = np.array(self._norms, dtype=np.float64) / np.sqrt(self._num_entries)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.median(ends[:, 0] / ends[:, 1]))
