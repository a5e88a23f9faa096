"""The keys that ranks tell each other things by, in the store of their process group."""

from __future__ import annotations

import pytest
import torch.distributed as dist
from torch.testing._internal.distributed import fake_pg  # noqa: F401  # registers the backend

from vgrad.ranks.group import RankGroup, find_group


def found(name: str) -> RankGroup:
    group = find_group(name)
    assert group is not None
    return group


def test_ranks_that_torchrun_has_started_again_find_nothing_of_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dist.init_process_group("fake", store=dist.HashStore(), rank=0, world_size=2)
    try:
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
        found("run").store.set("end/1", "ValueError: no")
        assert found("run").store.check(["end/1"])
        assert not found("other").store.check(["end/1"])
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
        assert not found("run").store.check(["end/1"])
    finally:
        dist.destroy_process_group()
