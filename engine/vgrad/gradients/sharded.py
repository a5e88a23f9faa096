"""Gradients that are sharded over ranks, as FSDP2's: a rank holds pieces, and norms are those of the whole.

One small reduction over the ranks joins the norms of the pieces: as many numbers as there are parameters. It
is a collective, so every rank must read at the same steps; see `vgrad.ranks.meeting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.errors import ConfigError
from vgrad.gradients.norms import NormPlan

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is a DTensor, of which this rank holds a piece."""
    return hasattr(tensor, "full_tensor")


def local_piece(tensor: Tensor) -> Tensor:
    """The piece of a DTensor that is here, a view of it; any other tensor is itself."""
    piece: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return piece


class ShardedNormPlan(NormPlan):
    """How to read the norms of whole tensors of which this rank holds pieces.

    Args:
        pieces: The pieces, as they will be passed to `read`.
        groups: For each of them, the process groups that hold the other pieces; none for a whole tensor.

    Raises:
        ConfigError: As `NormPlan`.
    """

    def __init__(
        self, pieces: Sequence[Tensor], groups: Sequence[tuple[Any, ...]], *, varying: Collection[int] = ()
    ) -> None:
        super().__init__(pieces, varying=varying)
        self._groups = groups
        device = pieces[0].device
        self._sums: list[tuple[Any, Tensor | None]] = []
        # In the order of the parameters, which is the same on every rank.
        for group in dict.fromkeys(group for each in groups for group in each):
            is_in = [group in each for each in groups]
            self._sums.append((group, None if all(is_in) else torch.tensor(is_in, device=device)))

    def read(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `NormPlan.read`, of the whole tensors. Every rank must call it; no host waits for a device."""
        norms, _ = super().read(tensors)
        squares = norms.to(torch.float64).square()
        for group, is_in in self._sums:
            total = squares.clone()
            torch.distributed.all_reduce(total, group=group)
            squares = total if is_in is None else torch.where(is_in, total, squares)
        return squares.sqrt().to(norms.dtype), squares.sum().sqrt()

    def read_on_host(self, tensors: Sequence[Tensor]) -> None:
        """None: the pieces of the other ranks come first."""

    def subset(self, pieces: Sequence[Tensor], keep: Sequence[int]) -> NormPlan:
        """The plan for some of the tensors."""
        return ShardedNormPlan(pieces, [self._groups[index] for index in keep])

    def on_all_ranks(self, is_true: Tensor) -> Tensor:
        """Whether a 0-d bool is true on every rank that holds a piece. Every rank must call it."""
        value = is_true.to(torch.float64)
        for group, _ in self._sums:
            torch.distributed.all_reduce(value, op=torch.distributed.ReduceOp.MIN, group=group)
        return value > 0


def plan_norms(tensors: Sequence[Tensor], *, varying: Collection[int] = ()) -> NormPlan:
    """How to read the norms of these gradients, of which some may be DTensors.

    Raises:
        ConfigError: As `NormPlan`, or if one is a sum that the ranks have not added up yet.
    """
    if not any(map(is_sharded, tensors)):
        return NormPlan(tensors, varying=varying)
    groups = [_groups_of(tensor) if is_sharded(tensor) else () for tensor in tensors]
    return ShardedNormPlan([local_piece(tensor) for tensor in tensors], groups, varying=varying)


def _groups_of(tensor: Any) -> tuple[Any, ...]:
    """The process groups over which a DTensor is sharded."""
    if any(placement.is_partial() for placement in tensor.placements):
        raise ConfigError("a gradient that the ranks have not added up yet (Partial) cannot be read")
    mesh = tensor.device_mesh
    return tuple(
        mesh.get_group(dim) for dim, placement in enumerate(tensor.placements) if placement.is_shard()
    )
