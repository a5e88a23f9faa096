"""What a reader of a run takes at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vgrad.events.notices import RunStarted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.notices import Notice
    from vgrad.events.rank_stats import RankStats
    from vgrad.events.step_block import StepBlock
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What is known of one part by now: only the newest is of use.

    Attributes:
        stats: The newest statistics of the layers, or None if there are none.
        verdict: The verdict with its newest evidence, or None if there is none.
        time: The newest gradient through time, or None if there is none.
    """

    stats: LayerStats | None = None
    verdict: Verdict | None = None
    time: TimeStats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorms:
    """Gradient norms per layer of some steps of one part, whose other numbers come without them.

    Attributes:
        part: The part of the run.
        step: Number of each step, int64 of shape ``(n,)``, increasing.
        grad_norms: Norm per layer before any transform, float32 of shape ``(n, num_layers)``.
    """

    part: int
    step: NDArray[np.int64]
    grad_norms: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """All that happened since a reader last looked.

    Attributes:
        blocks: Steps. Those of one part are in order, and the newest is always among them.
        notices: Notices in the order in which they happened, none missing but `MetricsLogged` of long ago.
        snapshots: By part, each that has changed.
        num_dropped: Steps that this reader was too slow for.
        layer_norms: Of steps that are among ``blocks`` without their norms per layer: those of some of
            them. They are older than every step that comes with its own.
        ranks: The newest numbers of all ranks of a training over several processes; None where there is
            nothing new.
        is_restart: Whether the history begins again with it: what came before is to be forgotten.
        before: Where a run begins in it that goes on from others: what happened in those up to there. Its
            steps come without norms per layer; those are all in its ``layer_norms``.
    """

    blocks: tuple[StepBlock, ...] = ()
    notices: tuple[Notice, ...] = ()
    snapshots: Mapping[int, Snapshot] = field(default_factory=dict)
    num_dropped: int = 0
    layer_norms: tuple[LayerNorms, ...] = ()
    is_restart: bool = False
    ranks: tuple[RankStats, ...] | None = None
    before: Batch | None = None

    def flattened(self) -> Batch:
        """This batch with ``before`` as a part of it, right after the notice that the run has begun."""
        before = self.before
        if before is None:
            return self
        start = next(n for n, notice in enumerate(self.notices) if isinstance(notice.body, RunStarted)) + 1
        return replace(
            self,
            before=None,
            blocks=(*before.blocks, *self.blocks),
            notices=(*self.notices[:start], *before.notices, *self.notices[start:]),
            layer_norms=(*before.layer_norms, *self.layer_norms),
        )
