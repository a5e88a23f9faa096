"""How much a rule's word is worth: by how often it was right on the runs it was fitted to.

Laplace's rule of succession, (right + 1) / (spoke + 2): a rule that was right both times it spoke
is worth 0.75, not 1. A rule that never spoke there has no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# `vgrad-tui verdicts` prints these numbers, and a test compares them with the stored runs.
CONFIDENCE: Mapping[str, float] = MappingProxyType(
    {
        "dead": 0.94,
        "depth": 0.98,
        "jump": 0.83,
        "learning": 0.96,
        "lost": 0.98,
        "non-finite": 0.97,
        "stalled": 0.94,
        "stuck": 0.67,
        "time": 0.82,
        "underflow": 0.8,
    }
)
