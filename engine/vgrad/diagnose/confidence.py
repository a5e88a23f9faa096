"""How much a rule's word is worth: by how often it was right on runs that no rule was fitted to.

Laplace's rule of succession, (right + 1) / (spoke + 2): a rule that was right both times it spoke
is worth 0.75, not 1. A rule that never spoke there has no number, and none is given for a loop that is not
ours: it was not measured there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# `vgrad-tui verdicts` prints these numbers, and a test compares them with the stored runs.
CONFIDENCE: Mapping[str, float] = MappingProxyType(
    {
        "dead": 0.83,  # 4 of 4
        "depth": 0.91,  # 9 of 9
        "jump": 0.82,  # 8 of 9
        "learning": 0.94,  # 46 of 48
        "lost": 0.96,  # 21 of 21
        "non-finite": 0.90,  # 8 of 8
        "overshoot": 0.75,  # 2 of 2
        "stalled": 0.88,  # 6 of 6
        "stuck": 0.75,  # 2 of 2
        "sums": 0.67,  # 1 of 1
        "time": 0.75,  # 2 of 2
        "underflow": 0.75,  # 2 of 2
        "wreck": 0.75,  # 2 of 2
    }
)
