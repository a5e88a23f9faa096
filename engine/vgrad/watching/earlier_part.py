"""What a part leaves behind, so that a later optimizer of the same parameters goes on with it.

Many loops make another optimizer for the same model again and again: in each epoch, each call of a function
that trains, each stage of a schedule. To whoever watches, that is one training.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from vgrad.controls.controls import Controls
    from vgrad.events.run_info import RunInfo
    from vgrad.events.step_record import StepRecord
    from vgrad.events.totals import Totals
    from vgrad.events.verdict import Verdict


def versions(params: Sequence[Tensor]) -> tuple[int, ...]:
    """How often somebody has written to the first and to the last of ``params``, but by way of ``.data``."""
    return tuple(0 if param.is_inference() else param._version for param in (*params[:1], *params[-1:]))


class TrainedParams:
    """The parameters of an optimizer, which are not kept in memory here, as its newest step left them.

    Args:
        params: The parameters.
        versions: Their `versions` then.
    """

    def __init__(self, params: Sequence[Tensor], versions: tuple[int, ...]) -> None:
        self._refs = [weakref.ref(param) for param in params]
        self._versions = versions

    @property
    def exist(self) -> bool:
        """Whether anybody still has them."""
        return any(ref() is not None for ref in self._refs)

    def are_untouched(self, params: Sequence[Tensor]) -> bool:
        """Whether they are exactly ``params``, and nobody has written to them since.

        Weights that are reset or loaded begin another training.
        """
        ours = [param for ref in self._refs if (param := ref()) is not None]
        is_same = len(ours) == len(self._refs) and set(map(id, ours)) == set(map(id, params))
        return is_same and versions(ours) == self._versions


@dataclass(frozen=True, slots=True, eq=False)
class EarlierPart:
    """A part whose optimizer steps no more.

    Attributes:
        info: What it was.
        id: Its number in the run.
        step: Its steps.
        elapsed_s: Seconds that they took.
        totals: Its first and newest numbers.
        controls: The controls that it had.
        judge: What its judge had seen, from `Judge.capture`.
        unjudged: Steps that the judge had not seen.
        params: What it trained.
        model: Returns the module that was given with them; None where it is gone.
    """

    info: RunInfo
    id: int
    step: int
    elapsed_s: float
    totals: Totals
    controls: Controls
    judge: Mapping[str, Any]
    unjudged: Sequence[StepRecord]
    params: TrainedParams
    model: Callable[[], nn.Module | None]


class EarlierParts:
    """The parts of a run that are gone, as long as their parameters are there."""

    def __init__(self) -> None:
        self._parts: list[EarlierPart] = []
        self._verdict: Verdict | None = None

    def add(self, part: EarlierPart) -> None:
        """One more is gone."""
        self._verdict = part.judge["verdict"]
        self._parts = [each for each in (*self._parts, part) if each.params.exist]

    def last_verdict(self) -> list[Verdict]:
        """That of the newest one; none where there was none."""
        return [] if self._verdict is None else [self._verdict]

    def take(self, params: Sequence[Tensor]) -> EarlierPart | None:
        """The newest one of these very parameters, as it left them; None if there is none."""
        found = next((each for each in reversed(self._parts) if each.params.are_untouched(params)), None)
        if found is not None:
            self._parts.remove(found)
        return found
