"""How much a rule's word is worth: by how often it was right on runs that no rule was fitted to.

Laplace's rule of succession, (right + 1) / (spoke + 2): a rule that was right both times it spoke
is worth 0.75, not 1. A rule that never spoke there has no number, and none is given for a loop that is not
ours: it was not measured there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# `vgrad-tui verdicts` prints these numbers, and a test compares them with the stored runs.
TRACK_RECORD: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "dead": (4, 4),
        "depth": (9, 9),
        "jump": (8, 9),
        "learning": (51, 52),
        "lost": (21, 21),
        "non-finite": (8, 8),
        "overshoot": (2, 2),
        "stalled": (1, 1),
        "stuck": (3, 3),
        "sums": (1, 1),
        "time": (2, 2),
        "underflow": (2, 2),
        "wreck": (2, 2),
    }
)
"""How often each rule was right, and how often it spoke."""

CONFIDENCE: Mapping[str, float] = MappingProxyType(
    {rule: round((right + 1) / (spoke + 2), 2) for rule, (right, spoke) in TRACK_RECORD.items()}
)
"""What each rule's word is worth, in [0, 1]."""


def track_record_in_words(rule: str, confidence: float | None) -> str:
    """Say what the confidence of a rule's verdict rests on, or that it has none; empty without a rule."""
    if not rule:
        return ""
    if confidence is None:
        return f"rule {rule}: not measured on runs of this kind"
    right, spoke = TRACK_RECORD.get(rule, (0, 0))
    return f"rule {rule}: right in {right} of {spoke} such runs, to which no rule was fitted"
