"""The process group that this process trains in, and its store, by which ranks tell each other things."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Store(Protocol):
    """What is used of a `torch.distributed.Store`, from any process of the group."""

    def set(self, key: str, value: str) -> None:
        """Store a value; a TCP store does not wait for the answer."""

    def get(self, key: str) -> bytes:
        """The value of a key that exists; else waits for it."""

    def check(self, keys: list[str]) -> bool:
        """Whether all these keys exist."""

    def compare_set(self, key: str, expected: str, desired: str) -> bytes:
        """Store a value where the key has the expected one, ``""`` for none; the value that it has then."""

    def delete_key(self, key: str) -> bool:
        """Remove a key; whether it was there."""


@dataclass(frozen=True, slots=True)
class RankGroup:
    """The process group of this process.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        store: A connection to the group's store, with keys that nobody else uses.
        connect: Opens another such connection, for another thread: one waits for nobody but itself.
    """

    rank: int
    size: int
    store: Store
    connect: Callable[[], Store]


def this_rank() -> int:
    """The rank of this process in its process group, or the one that a launcher has given it; else 0."""
    distributed = _distributed()
    if distributed is not None:
        return int(distributed.get_rank())
    if "WORLD_SIZE" in os.environ and os.environ.get("RANK", "").isdecimal():
        return int(os.environ["RANK"])
    return 0


def find_group(name: str) -> RankGroup | None:
    """The process group of this process; None where it trains alone, or the group has no store, as with MPI.

    Args:
        name: What it is needed for, the same on every rank: for each name the store has other keys.
    """
    distributed = _distributed()
    if distributed is None or distributed.get_world_size() < 2:
        return None
    # Torch has no public name for the store that its ranks have met in.
    store = distributed.distributed_c10d._get_default_store()
    if store is None:
        return None
    # Torchrun starts ranks again with the same store, in which the keys of those before still are.
    prefix = f"vgrad/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{name}"

    def connect() -> Store:
        # A clone does not keep the store alive once the script has destroyed its group.
        try:
            own = store.clone()
        except (AttributeError, RuntimeError):  # older versions of torch, and some kinds of stores, have none
            own = store
        connection: Store = distributed.PrefixStore(prefix, own)
        return connection

    return RankGroup(distributed.get_rank(), distributed.get_world_size(), connect(), connect)


def _distributed() -> Any:
    """The module `torch.distributed`, where the script has made a process group; None otherwise."""
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed
