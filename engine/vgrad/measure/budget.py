"""How much watching may cost: a share of the step time, saved up step by step."""

from __future__ import annotations

# Even when the norms alone use the whole budget, this part of it is for the expensive statistics,
# so that they are never older than a few thousand steps.
_MINIMUM = 0.1


class Budget:
    """Seconds saved up for the expensive statistics.

    Each step earns ``share`` of its time, less what the norms of that step cost already.
    A statistic that costs more than a step earns waits until enough has been saved.

    Args:
        share: Share of the step time that watching may take, in [0, 1].
    """

    __slots__ = ("_saved_s", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._saved_s = 0.0

    def earn(self, step_s: float, norms_s: float, *, at_most_s: float) -> None:
        """Save up after a step of ``step_s``, ``norms_s`` of it for the norms.

        What one step earns can always be spent; saved up over several it is ``at_most_s``.
        """
        allowed_s = self.share * step_s
        earned_s = max(allowed_s - norms_s, _MINIMUM * allowed_s)
        self._saved_s = min(self._saved_s + earned_s, max(at_most_s, earned_s))

    def affords(self, cost_s: float) -> bool:
        """Whether ``cost_s`` has been saved."""
        return self.share > 0 and cost_s <= self._saved_s

    def spend(self, cost_s: float) -> None:
        """Pay ``cost_s``; what was more than expected is owed to the next steps."""
        self._saved_s -= cost_s
