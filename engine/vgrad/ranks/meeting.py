"""Makes sure that every rank of a group is watched before one enters a collective that needs all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vgrad.errors import ConfigError

if TYPE_CHECKING:
    from vgrad.ranks.group import RankGroup

_WAIT_S = 60.0
_LOOK_S = 0.02


def require_all_ranks(group: RankGroup) -> None:
    """Wait until every rank has called this, or has not in time.

    All ranks that call it come to the same end, whatever their clocks say: the first decision is that of all.

    Raises:
        ConfigError: If a rank did not come.
        RuntimeError: If the store is gone.
    """
    store = group.store
    store.set(f"met/{group.rank}", "1")
    end_s = time.monotonic() + _WAIT_S
    missing = list(range(group.size))
    while missing and time.monotonic() < end_s:
        missing = [rank for rank in missing if not store.check([f"met/{rank}"])]
        if missing:
            if store.check(["decision"]):
                break
            time.sleep(_LOOK_S)
    ours = "all" if not missing else f"rank {missing[0]} is not watched"
    decision = store.compare_set("decision", "", ours).decode()
    if decision != "all":
        raise ConfigError(f"gradients that are sharded over ranks need every rank: {decision}")
