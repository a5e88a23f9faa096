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
        "dead": 0.90,
        "depth": 0.96,
        "jump": 0.91,
        "killed": 0.67,
        "learning": 0.97,
        "lost": 0.99,
        "non-finite": 0.98,
        "overshoot": 0.83,
        "stalled": 0.95,
        "stuck": 0.83,
        "time": 0.77,
        "underflow": 0.86,
        "wreck": 0.89,
    }
)
