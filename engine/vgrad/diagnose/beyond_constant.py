"""Whether a model answers better than any constant prediction, batch for batch."""

from __future__ import annotations

import math
from collections import deque

from vgrad.diagnose.part import JudgePart

_MOST = 40  # looks, each of a batch; they are twenty steps apart
_LEAST = 6
_BEYOND_NOISE = 2.0  # standard errors


class BeyondConstant(JudgePart):
    """Remembers what single batches cost, over what the best constant prediction for their targets costs.

    Loss and targets are of one batch, so that its noise is in both. A constant prediction comes to 1 on
    average, and so does a model that is asked for what its inputs do not say.
    """

    def __init__(self) -> None:
        self._looks: deque[float] = deque(maxlen=_MOST)

    def observe(self, over_constant: float) -> None:
        """Take what was seen last into account; the same number again is no other look. NaN: not known."""
        if math.isfinite(over_constant) and not (self._looks and self._looks[-1] == over_constant):
            self._looks.append(over_constant)

    @property
    def is_shown(self) -> bool:
        """Whether the mean is below 1 by more than two standard errors."""
        num = len(self._looks)
        if num < _LEAST:
            return False
        mean = math.fsum(self._looks) / num
        squares = math.fsum((look - mean) ** 2 for look in self._looks)
        return mean + _BEYOND_NOISE * math.sqrt(squares / (num * (num - 1))) < 1
