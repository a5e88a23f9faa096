"""Whether a loss that seems to stand still may fall after all, too slowly for one window to show it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vgrad.diagnose.part import JudgePart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PATIENCE = 600  # steps: a loss that was seen to fall slowly gets as many to do it again
_NO_SIGN = 0.5  # standard errors, or
_LEAST = 0.0025  # of the loss: what falls by less within a window shows no sign of falling


class SlowProgress(JudgePart):
    """Compares the loss with where it was when it began to stand still.

    Claims that a run learns, or may, though its last 200 steps do not prove it. Evidence is one of two. Since
    the stall began, or since this was last said, the mean of a hundred losses has fallen by as much as would
    be progress within a window: that is said for 600 steps. Or each window of this stall showed some sign of
    a fall, of half a standard error and of a quarter of a percent. A loss that never moves from where it
    began to stand still is not meant, nor one that has risen: the level it is compared with rises with it.

    Nothing but the words "healthy" and "stalled" rests on it. What is sick is looked for in either.

    Attributes:
        is_found: Whether it is so as of the last look.
    """

    def __init__(self) -> None:
        self.is_found = False
        self._level = math.nan  # NaN while the loss moves
        self._fell_at = -_PATIENCE
        self._stood = False  # whether some window of this stall showed no sign of a fall

    def look(self, num_seen: int, halves: NDArray[np.float64], *, error: float, least: float) -> None:
        """Take one look at the window of the last losses into account.

        Args:
            num_seen: Losses so far.
            halves: The losses of both halves of the window, shape ``(2, num)``.
            error: Standard error of the difference of their means.
            least: What is progress, in units of the loss.
        """
        before, now = float(halves[0].mean()), float(halves[1].mean())
        is_still = before - now < least
        if not is_still:
            self._level, self._stood = math.nan, False
        elif math.isnan(self._level):
            quarter = halves.size // 4
            self._level = float(halves.ravel()[quarter:-quarter].mean())  # the first steps are too steep
        elif self._level - now >= least:
            self._level, self._fell_at, self._stood = now, num_seen, False
        elif now - self._level >= least:
            self._level = now
        if is_still and before - now <= max(_NO_SIGN * error, _LEAST * abs(before)):
            self._stood = True
        has_fallen = num_seen - self._fell_at < _PATIENCE
        self.is_found = is_still and (has_fallen or not self._stood)
