"""What a run really had, found from losses alone: its own, and those of its counterfactuals. Free of torch.

The rule, first match wins:

1. A loss that is NaN or infinite: **non-finite**.
2. No run in its part learnt its task (`Scale.is_known`): **unclear**.
3. It learnt (`Scale.learnt`): **healthy**.
4. It learnt by half: **unclear**.
5. Its loss, averaged over 10 steps, once stood at more than 1.5 times where it began (or where
   a constant prediction would put it): it blew up. **exploding** if clipping by norm 1 or a lower
   learning rate (a tenth, a hundredth), from the same weights and data, makes it learn; else unclear.
6. It is stuck without ever having blown up. A ten times larger learning rate makes it learn: it
   was only slow, **unclear**. Else the kinds of cures are tried: against explosions, as above;
   against dead units: another draw of the same initialisation, or GELU in place of ReLU; against
   vanishing: skip connections, layer norm, tanh; gates or Ω with clipping where it is recurrent;
   float32 where it is half precision. If none makes it learn, or if those against explosions do
   and another kind, too: unclear. **exploding** if only those do. **dead** if another draw or GELU does,
   whatever else does, for that does not help where the initialisation itself is at fault. Else **vanishing**.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Label = Literal["healthy", "vanishing", "exploding", "dead", "non-finite", "unclear"]
CureKind = Literal["explosion", "slow", "dead", "vanishing"]

LABELS: tuple[Label, ...] = ("healthy", "vanishing", "exploding", "dead", "non-finite")

_LEARNT = 0.5
_STUCK = 0.25
_BLOWN_UP = 1.5
_KNOWN = 0.9  # of the trivial loss: the best run on a task must be below it
_AVERAGE = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        first: Loss of the first step.
        final: Mean loss of the last tenth of the steps; NaN if a loss was not finite.
        peak: Largest mean loss over 10 steps in a row.
    """

    first: float
    final: float
    peak: float

    @classmethod
    def of(cls, losses: Sequence[float]) -> Outcome:
        """The outcome of a run with these losses."""
        if not all(map(math.isfinite, losses)):
            return cls(losses[0], math.nan, math.nan)
        tail = losses[-max(1, len(losses) // 10) :]
        means = [sum(losses[i : i + _AVERAGE]) / _AVERAGE for i in range(len(losses) - _AVERAGE + 1)]
        return cls(losses[0], sum(tail) / len(tail), max(means))


@dataclass(frozen=True, slots=True)
class Scale:
    """What learning means on a task.

    Attributes:
        trivial: Loss of who learnt nothing.
        best: Lowest final loss of any run on this task, in the same part of the set.
    """

    trivial: float
    best: float

    def progress(self, loss: float) -> float:
        """0 for nothing learnt, 1 for as much as the best run; NaN stays NaN."""
        return (self.trivial - loss) / (self.trivial - self.best)

    def learnt(self, loss: float) -> bool:
        """Whether at least half of the way from nothing to the best was gone."""
        return self.progress(loss) >= _LEARNT

    @property
    def is_known(self) -> bool:
        """Whether any run has learnt this task at all: half of next to nothing would be noise."""
        return self.best < _KNOWN * self.trivial


def label_of(
    outcome: Outcome, cures: Mapping[CureKind, Mapping[str, float]], scale: Scale
) -> tuple[Label, str]:
    """Label a run.

    Args:
        outcome: How it went.
        cures: Final loss of each counterfactual that was tried, by kind; see `needed_cures`.
        scale: Of its task.

    Returns:
        The label, and why.
    """
    if math.isnan(outcome.final):
        return "non-finite", "a loss was not finite"
    if not scale.is_known:
        return "unclear", "no run learnt this task"
    if scale.learnt(outcome.final):
        return "healthy", "it learnt"
    if scale.progress(outcome.final) > _STUCK:
        return "unclear", "it learnt by half"
    helped = {
        kind: name for kind, tried in cures.items() for name, loss in tried.items() if scale.learnt(loss)
    }
    if _has_blown_up(outcome, scale):
        return _of_cure("exploding", helped.get("explosion"))
    return _stuck(helped)


def _stuck(helped: Mapping[CureKind, str]) -> tuple[Label, str]:
    """The label of a run that never blew up, from the cure of each kind that made it learn."""
    if "slow" in helped:
        return "unclear", "it was slow"
    if "explosion" in helped and not helped.keys().isdisjoint({"dead", "vanishing"}):
        return "unclear", "two kinds of cures helped"
    if "explosion" in helped:
        return _of_cure("exploding", helped["explosion"])
    if "dead" in helped:
        return _of_cure("dead", helped["dead"])
    return _of_cure("vanishing", helped.get("vanishing"))


def _of_cure(label: Label, cure: str | None) -> tuple[Label, str]:
    return ("unclear", "no cure helped") if cure is None else (label, f"{cure} cured it")


def needed_cures(outcome: Outcome, scale: Scale) -> tuple[CureKind, ...]:
    """The kinds of counterfactuals that the label of this run depends on."""
    if math.isnan(outcome.final) or not scale.is_known or scale.progress(outcome.final) > _STUCK:
        return ()
    if _has_blown_up(outcome, scale):
        return ("explosion",)
    return ("slow", "explosion", "dead", "vanishing")


def _has_blown_up(outcome: Outcome, scale: Scale) -> bool:
    return outcome.peak > _BLOWN_UP * max(outcome.first, scale.trivial)
