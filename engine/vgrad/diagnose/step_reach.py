"""Whether the steps that were made can have raised the loss as far as it has risen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median

from vgrad.diagnose.part import JudgePart

_WINDOW = 20  # steps
_MOMENTUM = 5.0  # times as long a way: steps with momentum are longer, and not at the largest norm alone


class StepReach(JudgePart):
    """Bounds how far the weights have moved, and what that can have done to the loss.

    By the mean value theorem a loss changes by no more than the largest gradient norm on the way times the
    length of the way. A step of plain gradient descent is as long as the rate times the norm; one of Adam, of
    RMSprop or of signs about as long as the rate times the root of the number of weights. So the larger of
    both, times five for momentum, bounds nearly all steps. The norms on the way are those of the steps.

    Claims that something else than the steps has raised a loss which has risen farther than that: other
    data, another weight before it, another player. Where a rate is not known, nothing is claimed.

    Measured on the runs of `vgrad.lab.accuracy`: of those that were thrown off by their own steps, the rise
    was at most .43 of this before the factor for momentum; of losses that are multiplied by a weight
    which rises from nothing, it was a hundred times that.

    Args:
        layer_sizes: Entries of each layer.

    Attributes:
        is_exceeded: Whether the largest loss of the last 20 steps is farther above ``calm`` than that.
        is_first_a_level: Whether the very first loss is one that later losses can be compared with: false
            once the losses of the first 20 steps have risen above it farther than these steps can have done.
    """

    def __init__(self, layer_sizes: Sequence[int]) -> None:
        self.is_exceeded = False
        self.is_first_a_level = True
        self._root = math.sqrt(sum(layer_sizes))
        self._first = math.nan
        self._num_seen = 0
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._norms: deque[float] = deque(maxlen=_WINDOW)
        self._lengths: deque[float] = deque(maxlen=_WINDOW)  # of the steps before each loss

    def observe(self, loss: float, grad_norm: float, applied_norm: float, lr: float, calm: float) -> None:
        """Take one finite step into account.

        Args:
            loss: Its loss.
            grad_norm: Norm of its gradient.
            applied_norm: The norm that the optimizer got.
            lr: The largest rate of any group of parameters; NaN: not known.
            calm: The loss of before; NaN: the first one.
        """
        self._num_seen += 1
        if self._num_seen == 1:
            self._first = loss
        self._losses.append(loss)
        self._norms.append(grad_norm)
        can_do = _MOMENTUM * max(self._norms) * sum(self._lengths)  # NaN: nothing is more
        before = self._first if math.isnan(calm) else calm
        self.is_exceeded = bool(self._lengths) and max(self._losses) - before > can_do
        if self._num_seen == _WINDOW:
            later = list(self._losses)[_WINDOW // 2 :]
            self.is_first_a_level = not median(later) - self._first > can_do
        self._lengths.append(lr * max(applied_norm, self._root))
