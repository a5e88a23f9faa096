"""Watching in a training of two processes, over gloo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import vgrad
from vgrad.errors import ConfigError

NUM_PROCESSES, NUM_STEPS = 2, 8


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def batches(rank: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(rank)
    return [
        (torch.randn(6, 8, generator=generator), torch.randint(4, (6,), generator=generator))
        for _ in range(NUM_STEPS)
    ]


def process(rank: int, folder: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """One process of the group; saves what ``work`` returns."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=NUM_PROCESSES)
    try:
        torch.save(work(rank, *arguments), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def in_two_processes(folder: Path, work: Callable[..., Any], *arguments: Any) -> list[dict[str, Any]]:
    folder.mkdir()
    torch.multiprocessing.spawn(  # type: ignore[no-untyped-call]
        process, (str(folder), work, arguments), nprocs=NUM_PROCESSES
    )
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(NUM_PROCESSES)]


def train_with_ddp(
    rank: int, is_watched: bool, gradient_as_bucket_view: bool, clip: float | None
) -> dict[str, Any]:
    model = DistributedDataParallel(network(), gradient_as_bucket_view=gradient_as_bucket_view)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    controls = vgrad.Controls() if clip is None else vgrad.Controls(clip=f"norm:{clip}")
    watch = vgrad.watch(model, optimizer, controls=controls) if is_watched else None
    for inputs, targets in batches(rank):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        if clip is not None and watch is None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    found: dict[str, Any] = {"weights": model.module.state_dict()}
    if watch is not None:
        records = watch.records()
        found["layers"] = list(watch.layers)
        found["norms"] = [record.grad_norm for record in records]
        found["layer_norms"] = [record.grad_norms.tolist() for record in records]
        watch.close()
    return found


@pytest.mark.parametrize("gradient_as_bucket_view", [False, True])
def test_ddp_trains_as_unwatched_and_every_process_reads_the_same_norms(
    tmp_path: Path, gradient_as_bucket_view: bool
) -> None:
    bare = in_two_processes(tmp_path / "bare", train_with_ddp, False, gradient_as_bucket_view, None)
    watched = in_two_processes(tmp_path / "watched", train_with_ddp, True, gradient_as_bucket_view, None)
    for one, other in zip(bare, watched, strict=True):
        assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    first, second = watched
    assert first["layers"] == second["layers"] == ["0", "2"]
    assert first["norms"] == second["norms"]
    assert first["layer_norms"] == second["layer_norms"]
    assert len(first["norms"]) == NUM_STEPS


def test_ddp_reads_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    watched = in_two_processes(tmp_path / "watched", train_with_ddp, True, True, None)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with vgrad.watch(model, optimizer) as watch:
        for halves in zip(*(batches(rank) for rank in range(NUM_PROCESSES)), strict=True):
            inputs, targets = (torch.cat(parts) for parts in zip(*halves, strict=True))
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        alone = [record.grad_norm for record in watch.records()]
    assert watched[0]["norms"] == pytest.approx(alone, rel=1e-4)


def test_ddp_is_clipped_as_by_torch(tmp_path: Path) -> None:
    by_torch = in_two_processes(tmp_path / "torch", train_with_ddp, False, True, 0.3)
    by_us = in_two_processes(tmp_path / "us", train_with_ddp, True, True, 0.3)
    for name, weight in by_torch[0]["weights"].items():
        torch.testing.assert_close(by_us[0]["weights"][name], weight)
        assert torch.equal(by_us[0]["weights"][name], by_us[1]["weights"][name])


def watch_sharded(rank: int) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = network()
    fully_shard(model, mesh=init_device_mesh("cpu", (NUM_PROCESSES,)))
    with pytest.raises(ConfigError, match="sharded over several processes"):
        vgrad.watch(model, torch.optim.AdamW(model.parameters()))
    return {}


def test_sharded_parameters_are_refused_with_the_reason(tmp_path: Path) -> None:
    in_two_processes(tmp_path / "sharded", watch_sharded)
