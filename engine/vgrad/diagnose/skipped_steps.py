"""Steps that were dropped because their gradient was not finite."""

from __future__ import annotations

from vgrad.diagnose.part import JudgePart

_MOST_SKIPPED = 20  # dropped in a row, after which skipping has become the whole of training


class SkippedSteps(JudgePart):
    """Counts dropped steps in a row: a few do no harm."""

    def __init__(self) -> None:
        self._num_in_a_row = 0

    def done(self) -> None:
        """A step with finite numbers was made."""
        self._num_in_a_row = 0

    def is_harmless(self, *, skipped: bool) -> bool:
        """Take a step that was not finite into account; True if it was dropped and few were before it."""
        self._num_in_a_row += 1
        return skipped and self._num_in_a_row < _MOST_SKIPPED
