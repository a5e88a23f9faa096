"""Whether a run has grown away from its start, too slowly for any step to stand out."""

from __future__ import annotations

import math
from collections import deque

from vgrad.diagnose.part import JudgePart

_WARM_UP = 20  # the first steps, which the others are compared with
_WINDOW = 100
_EVERY = 10  # steps between two looks
_GROWN = 100.0  # times the largest loss, and the largest norm, of the first steps


class Growth(JudgePart):
    """Compares loss and gradient norm with the largest of the first twenty steps.

    Claims that a run explodes slowly: half of the last hundred losses are a hundred times as large as any of
    the first steps, and so are half of the gradient norms. Values that are learnt from themselves grow like
    that, by a few percent a step. Data that become harder raise a loss at once and by less; a loss that
    begins near zero grows without its gradient. It is over when either is below a tenth of that.

    Attributes:
        is_found: Whether it is so as of the last look.
    """

    def __init__(self) -> None:
        self.is_found = False
        self._num_seen = 0
        self._loss_at_first = 0.0
        self._norm_at_first = 0.0
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._norms: deque[float] = deque(maxlen=_WINDOW)

    def observe(self, step: int, loss: float, grad_norm: float) -> None:
        """Take one finite step into account."""
        self._num_seen += 1
        if self._num_seen <= _WARM_UP:
            self._loss_at_first = max(self._loss_at_first, abs(loss))
            self._norm_at_first = max(self._norm_at_first, grad_norm)
            return
        self._losses.append(loss)
        self._norms.append(grad_norm)
        if step % _EVERY == 0 and len(self._losses) == _WINDOW:
            times = min(self._times())
            self.is_found = times > (_GROWN / 10 if self.is_found else _GROWN)

    def _times(self) -> tuple[float, float]:
        """How many times as large the median loss and norm are as the largest of the first steps."""
        middle = _WINDOW // 2
        loss, norm = sorted(self._losses)[middle], sorted(self._norms)[middle]
        return (
            loss / self._loss_at_first if self._loss_at_first > 0 else math.nan,
            norm / self._norm_at_first if self._norm_at_first > 0 else math.nan,
        )

    def words(self) -> str:
        """The numbers."""
        loss, norm = self._times()
        return (
            f"the loss is {loss:,.0f}× and ‖g‖ {norm:,.0f}× the largest of the first {_WARM_UP} steps,"
            " and no single step stands out"
        )
