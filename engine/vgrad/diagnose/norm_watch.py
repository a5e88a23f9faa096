"""Explosions of a run whose loss nobody knows: what the gradient and the steps alone can show."""

from __future__ import annotations

import math
from collections import deque

from vgrad.diagnose.part import JudgePart

_WINDOW = 100
_WARM_UP = 20  # steps before which there is no calm past
_EVERY = 10  # steps between two looks at the median
_FAR_UP = 100.0  # times the calm median: a spike is ten times
_IN_A_ROW = 10  # steps: a bad batch, or a few, go by
_OVER = 10.0  # times the calm median, below which the run has come back
_THROWN = 1.0  # of a layer's weights in one step: they are replaced, not trained


class NormWatch(JudgePart):
    """Says that a run explodes where its loss is not known.

    Claims it on one of two grounds: the gradient norm has been a hundred times its calm median for ten steps
    in a row; or a measured step has moved a layer by as much as its whole weights while the norm was ten
    times the median. A loss that rises for another reason does neither. It is over when the norm is below
    ten times the calm median again.

    Attributes:
        calm_norm: Median norm of before the explosion; NaN in the first steps.
        peak: Largest norm of the last explosion.
    """

    def __init__(self) -> None:
        self.calm_norm = math.nan
        self.peak = math.nan
        self._norms: deque[float] = deque(maxlen=_WINDOW)
        self._num_far = 0
        self._num_seen = 0
        self._is_exploding = False
        self._since = 0

    def observe(self, step: int, grad_norm: float, update: float) -> bool:
        """Take one finite step into account; True while the run explodes.

        Args:
            step: The step.
            grad_norm: Norm of its gradient.
            update: Largest share of its weights by which a layer was moved, as measured last; NaN: unknown.
        """
        self._num_seen += 1
        calm = self.calm_norm
        self._num_far = self._num_far + 1 if grad_norm > _FAR_UP * calm > 0 else 0  # False of NaN
        is_thrown = update >= _THROWN and grad_norm > _OVER * calm
        if not self._is_exploding and (self._num_far >= _IN_A_ROW or is_thrown):
            self._is_exploding, self._since, self.peak = True, step, grad_norm
        elif self._is_exploding:
            self.peak = max(self.peak, grad_norm)
            self._is_exploding = not grad_norm <= _OVER * calm
        if not self._is_exploding and not self._num_far:
            self._norms.append(grad_norm)
            if self._num_seen >= _WARM_UP and step % _EVERY == 0:
                self.calm_norm = sorted(self._norms)[len(self._norms) // 2]
        return self._is_exploding

    def words(self) -> str:
        """The numbers."""
        times = self.peak / self.calm_norm if self.calm_norm > 0 else math.inf
        return (
            f"since step {self._since:,} ‖g‖ has been up to {times:,.0f}× its median of {self.calm_norm:.2g};"
            " the loss is not known"
        )
