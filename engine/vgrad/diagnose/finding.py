"""What a rule has found: the sickness, the rule, and the numbers that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

FindingRule = Literal[
    "underflow", "killed", "dead", "overshoot", "saturated", "depth", "faint", "still", "time", "time-growth",
    "stuck",
]  # fmt: skip
FINDING_RULES: tuple[str, ...] = get_args(FindingRule)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong.

    Attributes:
        kind: As in `vgrad.events.verdict.Verdict`.
        rule: The rule that found it.
        evidence: The numbers.
        layers: Indices of the layers it is about.
    """

    kind: Literal["vanishing", "dead", "exploding"]
    rule: FindingRule
    evidence: str
    layers: tuple[int, ...] = ()
