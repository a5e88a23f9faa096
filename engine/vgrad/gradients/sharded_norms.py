"""The norms of gradients that are sharded over ranks: those of the whole, joined by one small sum.

The sum has as many numbers as there are parameters. It is a collective, so every rank must read at the same
steps; see `vgrad.ranks.meeting` and `vgrad.gradients.rank_sums`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.errors import ConfigError
from vgrad.gradients.norms import NormPlan
from vgrad.gradients.sharded import groups_of, is_sharded, local_piece

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vgrad.gradients.rank_sums import RankSums


class ShardedNormPlan(NormPlan):
    """How to read the norms of whole tensors of which this rank holds pieces.

    Args:
        pieces: The pieces, as they will be passed to `read`.
        groups: For each of them, the process groups that hold the other pieces; none for a whole tensor.
        sums: Adds up over all these groups.

    Raises:
        ConfigError: As `NormPlan`, or if ``sums`` knows nothing of one of the groups.
    """

    def __init__(
        self,
        pieces: Sequence[Tensor],
        groups: Sequence[tuple[Any, ...]],
        sums: RankSums,
        *,
        varying: Collection[int] = (),
    ) -> None:
        super().__init__(pieces, varying=varying)
        if not {group for each in groups for group in each} <= set(sums.groups):
            raise ConfigError("a gradient that is sharded otherwise than its weight cannot be read")
        self._groups = groups
        self._sums = sums
        device = pieces[0].device
        is_in = [[group in each for each in groups] for group in sums.groups]
        self._is_in = [None if all(each) else torch.tensor(each, device=device) for each in is_in]

    def read(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `NormPlan.read`, of the whole tensors. Every rank must call it; no host waits for a device.

        Raises:
            RankLeftError: If another rank does not read its gradients any more.
        """
        norms, _ = super().read(tensors)
        squares = self._sums.add_up(norms.to(torch.float64).square(), self._is_in)
        return squares.sqrt().to(norms.dtype), squares.sum().sqrt()

    def read_on_host(self, tensors: Sequence[Tensor]) -> None:
        """None: the pieces of the other ranks come first."""

    def subset(self, pieces: Sequence[Tensor], keep: Sequence[int]) -> NormPlan:
        """The plan for some of the tensors."""
        return ShardedNormPlan(pieces, [self._groups[index] for index in keep], self._sums)

    def on_all_ranks(self, is_true: Tensor) -> Tensor:
        """Whether a 0-d bool is true on every rank that holds a piece. Every rank must call it.

        Raises:
            RankLeftError: As `read`.
        """
        num_false = (~is_true).to(torch.float64).reshape(1)
        return self._sums.add_up(num_false, [None] * len(self._sums.groups))[0] == 0


def plan_norms(
    tensors: Sequence[Tensor], sums: RankSums | None, *, varying: Collection[int] = ()
) -> NormPlan:
    """How to read the norms of these gradients, of which some may be DTensors.

    Args:
        tensors: The gradients.
        sums: Adds up over the ranks that hold pieces of them; None where all gradients are whole.
        varying: As in `NormPlan`.

    Raises:
        ConfigError: As `ShardedNormPlan`, or if one is a sum that the ranks have not added up yet.
    """
    if sums is None:
        return NormPlan(tensors, varying=varying)
    groups = [groups_of(tensor) if is_sharded(tensor) else () for tensor in tensors]
    return ShardedNormPlan([local_piece(tensor) for tensor in tensors], groups, sums, varying=varying)
