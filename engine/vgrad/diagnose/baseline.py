"""Whether a run that was thrown off has come back to more than an answer that ignores its inputs."""

from __future__ import annotations

import math
from collections import deque

from vgrad.diagnose.part import JudgePart

_TOGETHER = 10  # losses that a peak is the mean of, so that one bad batch is none
_WINDOW = 100  # steps over which a run is compared, and which it gets to come back
_THROWN_OFF = 1.5
_ABOVE, _NO_BETTER = 1.03, 0.97  # times what a uniform guess costs
_LATE = 200  # steps: a bad start is over by then
_FAR_ABOVE = 3.0
_LEARNT = 0.88  # healthy runs that have only begun to learn come near


class BaselineWatch(JudgePart):
    """Compares the loss with that of the best constant answer.

    An explosion leaves weights that learn no more, though the loss falls: until the wreck answers the same
    whatever it is asked. Its own past does not tell that from learning; the baseline does.

    Args:
        baseline: Loss of a constant prediction; NaN where it is not known, and then no answer is given.

    Where it is not known, the loss function may show what a uniform guess costs, which is more. That speaks
    of one side alone: a run above it has learnt nothing, and one below may have learnt nothing either.

    Attributes:
        baseline: The same.
        uniform: What a uniform guess costs; NaN where that is not known, or the baseline is.
        loss: Mean loss of the last 100 steps, as of the last look; NaN at first.
        is_wreck: Whether the run blew up long ago, and is no better than a constant prediction, as of the
            last look. Where only the loss of a uniform guess is known, a wreck remains one until it is
            clearly below that: to come to a uniform guess is to learn nothing.
    """

    def __init__(self, baseline: float) -> None:
        self.baseline = baseline
        self.uniform = math.nan
        self.loss = math.nan
        self.is_wreck = False
        self._num_seen = 0
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._first = math.nan
        self._peak = -math.inf
        self._peak_step = 0

    def observe(self, step: int, loss: float, uniform: float = math.nan) -> None:
        """Take one finite step into account, and what a uniform guess costs."""
        self.uniform = uniform if math.isnan(self.baseline) else math.nan
        self._num_seen += 1
        losses = self._losses
        if not losses:
            self._first = loss
        losses.append(loss)
        if step % _TOGETHER:
            return
        recent = [losses[index] for index in range(-min(_TOGETHER, len(losses)), 0)]
        mean = sum(recent) / len(recent)
        if mean > self._peak:
            self._peak, self._peak_step = mean, step
        self.loss = sum(losses) / len(losses)
        self.is_wreck = self._blew_up(step) and self._is_worthless()

    @property
    def has_learnt(self) -> bool:
        """Whether the loss is clearly below the baseline."""
        return self.loss < _LEARNT * self.baseline

    @property
    def has_learnt_nothing(self) -> bool:
        """Whether the loss is not clearly below the baseline. Both are False where none is known."""
        return self.loss >= _LEARNT * self.baseline

    def _blew_up(self, step: int) -> bool:
        limit = self.uniform if math.isnan(self.baseline) else self.baseline
        return self._peak > _THROWN_OFF * max(self._first, limit) and step - self._peak_step >= _WINDOW

    def _is_worthless(self) -> bool:
        times = _NO_BETTER if self.is_wreck else _ABOVE
        return self.has_learnt_nothing or self.loss > times * self.uniform

    @property
    def is_far_above(self) -> bool:
        """Whether the loss is still three times that of a uniform guess after two hundred steps."""
        return self._num_seen >= _LATE and self.loss > _FAR_ABOVE * self.uniform

    def words(self) -> str:
        """The loss and what it is compared with, in words."""
        if math.isnan(self.baseline):
            return f"the loss is {self.loss:.3g}, where a uniform guess costs {self.uniform:.3g}"
        return f"the loss is {self.loss:.3g}, where a constant prediction costs {self.baseline:.3g}"

    def peak_in_words(self) -> str:
        """How far the run was thrown off, and what `words` says."""
        return f"the loss came to {self._peak:.3g} by step {self._peak_step:,}; {self.words()}"
