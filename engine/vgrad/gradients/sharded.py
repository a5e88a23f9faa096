"""Tensors that are sharded over ranks, as FSDP2's parameters and gradients: a rank holds pieces of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vgrad.errors import ConfigError


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is a DTensor, of which this rank holds a piece."""
    return hasattr(tensor, "full_tensor")


def local_piece(tensor: Tensor) -> Tensor:
    """The piece of a DTensor that is here, a view of it; any other tensor is itself."""
    piece: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return piece


def groups_of(tensor: Any) -> tuple[Any, ...]:
    """The process groups over which a DTensor is sharded.

    Raises:
        ConfigError: If it is a sum that the ranks have not added up yet.
    """
    if any(placement.is_partial() for placement in tensor.placements):
        raise ConfigError("a gradient that the ranks have not added up yet (Partial) cannot be read")
    mesh = tensor.device_mesh
    return tuple(
        mesh.get_group(dim) for dim, placement in enumerate(tensor.placements) if placement.is_shard()
    )
