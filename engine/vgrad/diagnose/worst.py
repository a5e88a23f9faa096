"""The verdict on a run of several parts: that on the part which is worst."""

from __future__ import annotations

from collections.abc import Iterable

from vgrad.events.verdict import Verdict, VerdictKind

SERIOUSNESS: tuple[VerdictKind, ...] = (
    "non-finite", "exploding", "dead", "vanishing", "stalled", "healthy", "starting",
)  # fmt: skip
"""Every kind of verdict, from the most serious to the least."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most serious verdict; of equally serious ones the first.

    Raises:
        ValueError: If there is none.
    """
    return min(verdicts, key=lambda verdict: SERIOUSNESS.index(verdict.kind))
