"""Whether gradients are sums over all batches so far: a training loop that never calls ``zero_grad``."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from statistics import median

from vgrad.diagnose.one_digit import one_digit
from vgrad.diagnose.part import JudgePart

_WINDOW = 100
_GROWN = 5.0  # times the first norm
_SMOOTH = 0.02  # of the norm, from one step to the next
_NOISY = 0.01  # of the loss, from one step to the next
_SMOOTHER_BY = 10.0


class GradientSums(JudgePart):
    """Compares how much the gradient norm changes from step to step with how much the loss does.

    Batches differ: so do their losses, and their gradients even more. A sum over all batches so far grows,
    and hardly changes from one step to the next, however different the batches are.

    Attributes:
        are_found: Whether the gradients were sums as of the last look.
    """

    def __init__(self) -> None:
        self.are_found = False
        self._first = math.nan
        self._norms: deque[float] = deque(maxlen=_WINDOW)
        self._losses: deque[float] = deque(maxlen=_WINDOW)

    def observe(self, loss: float, grad_norm: float) -> None:
        """Take one finite step into account."""
        if math.isnan(self._first):
            self._first = grad_norm
        self._norms.append(grad_norm)
        self._losses.append(loss)

    def look(self) -> None:
        """Say whether the last 100 gradients look like sums."""
        self.are_found = self._look_like_sums()

    def _look_like_sums(self) -> bool:
        if len(self._norms) < _WINDOW or not median(self._norms) > _GROWN * self._first:
            return False
        change_of_norm, change_of_loss = _change(self._norms), _change(self._losses)
        limit = min(_SMOOTH, change_of_loss / _SMOOTHER_BY)
        return change_of_loss > _NOISY and change_of_norm < limit

    def words(self) -> str:
        """The numbers."""
        return (
            f"‖g‖ has grown {median(self._norms) / self._first:,.0f}-fold and changes by"
            f" {one_digit(_change(self._norms))} of itself a step, while losses of batches differ by"
            f" {_change(self._losses) * 100:.0f} %: gradients are sums over all batches so far"
        )


def _change(values: deque[float]) -> float:
    """Median change from one value to the next, relative to their mean size."""
    listed = list(values)
    size = sum(map(abs, listed)) / len(listed)
    changes = [abs(after - before) for before, after in pairwise(listed)]
    return median(changes) / size if size else 0.0
