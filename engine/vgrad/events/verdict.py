"""What the engine concludes about the gradients of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vgrad.controls.controls import Command

VerdictKind = Literal["starting", "healthy", "stalled", "vanishing", "exploding", "dead", "non-finite"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the engine makes of the gradients.

    Attributes:
        kind: The finding, most serious first match.
        evidence: The numbers it rests on, in words.
        layers: Indices of the layers it is about; empty when it is about all.
        remedy: Commands that may help, to be applied one after another; empty where none of ours does.
        advice: What to do, in words.
        rule: Which of the rules of this kind found it; see `vgrad.diagnose.rules`.
        tags: What is worth knowing though it is no sickness: ``compensated``, ``cold``, ``hot``,
            ``spike``, ``underflow``, ``unused`` (layers), ``finished``, ``overfitting``; and of a sickness,
            ``never-zeroed`` gradients.
        confidence: In [0, 1], from the share of runs with a known ending that really had this when
            this rule said so, of runs that no rule was fitted to; see `vgrad.diagnose.confidence`. None
            where the rule never spoke of one, and in loops of a kind that was not measured.
    """

    kind: VerdictKind
    evidence: str
    layers: tuple[int, ...] = ()
    remedy: tuple[Command, ...] = ()
    advice: str = ""
    rule: str = ""
    tags: tuple[str, ...] = ()
    confidence: float | None = None
