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
from tests.scripts.gloo_threads import wait_until_idle
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
        wait_until_idle()
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


Key = tuple[bool, bool, float | None]
DDP_RUNS: list[Key] = [
    *((is_watched, as_view, None) for as_view in (False, True) for is_watched in (False, True)),
    *((is_watched, True, 0.3) for is_watched in (False, True)),
]
"""The arguments of `train_with_ddp`, in the order in which the same two processes train them."""


def train_all_with_ddp(rank: int) -> dict[str, Any]:
    return {str(number): train_with_ddp(rank, *key) for number, key in enumerate(DDP_RUNS)}


@pytest.fixture(scope="module")
def ddp(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, list[dict[str, Any]]]:
    """What both ranks found in each of `DDP_RUNS`."""
    folder = tmp_path_factory.mktemp("ddp")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VGRAD_HOME", str(folder / "home"))
        patched.setenv("CUDA_VISIBLE_DEVICES", "")
        ranks = in_two_processes(folder / "ranks", train_all_with_ddp)
    return {key: [found[str(number)] for found in ranks] for number, key in enumerate(DDP_RUNS)}


@pytest.mark.parametrize("gradient_as_bucket_view", [False, True])
def test_ddp_trains_as_unwatched_and_every_process_reads_the_same_norms(
    ddp: dict[Key, list[dict[str, Any]]], gradient_as_bucket_view: bool
) -> None:
    bare, watched = (ddp[is_watched, gradient_as_bucket_view, None] for is_watched in (False, True))
    for one, other in zip(bare, watched, strict=True):
        assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    first, second = watched
    assert first["layers"] == second["layers"] == ["0", "2"]
    assert first["norms"] == second["norms"]
    assert first["layer_norms"] == second["layer_norms"]
    assert len(first["norms"]) == NUM_STEPS


def test_ddp_reads_the_gradient_of_the_whole_batch(ddp: dict[Key, list[dict[str, Any]]]) -> None:
    watched = ddp[True, True, None]
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


def test_ddp_is_clipped_as_by_torch(ddp: dict[Key, list[dict[str, Any]]]) -> None:
    by_torch, by_us = (ddp[is_watched, True, 0.3] for is_watched in (False, True))
    for name, weight in by_torch[0]["weights"].items():
        torch.testing.assert_close(by_us[0]["weights"][name], weight)
        assert torch.equal(by_us[0]["weights"][name], by_us[1]["weights"][name])


def train_sharded(rank: int, clip: float | None, is_watched: bool) -> dict[str, Any]:
    """FSDP2 on odd sizes, so that pieces are of unequal size and one is empty."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = odd_network()
    mesh = init_device_mesh("cpu", (NUM_PROCESSES,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    watch = vgrad.watch(model, optimizer, controls=clipped(clip)) if is_watched else None
    for step, (inputs, targets) in enumerate(batches(rank)):
        if clip is not None and step == 5 and rank == 1:
            inputs[0, 0] = float("nan")
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    weights = {name: value.full_tensor() for name, value in model.state_dict().items()}
    found: dict[str, Any] = {"weights": weights}
    if watch is not None:
        found |= numbers_of(watch)
        found["layers"] = list(watch.layers)
        found["why_not"] = watch.parts[0].capabilities.why_not("noise")
        watch.close()
    return found


def odd_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 17), nn.Tanh(), nn.Linear(17, 1), nn.Linear(1, 4))


def clipped(clip: float | None) -> vgrad.Controls:
    return vgrad.Controls() if clip is None else vgrad.Controls(clip=f"norm:{clip}", skip_non_finite="on")


def numbers_of(watch: vgrad.Watch) -> dict[str, Any]:
    records = watch.records()
    return {
        "norms": [record.grad_norm for record in records],
        "applied": [record.applied_norm for record in records],
        "layer_norms": [record.grad_norms.tolist() for record in records],
    }


def train_alone(clip: float | None) -> dict[str, Any]:
    """One process on the batches of both."""
    model = odd_network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    with vgrad.watch(model, optimizer, controls=clipped(clip)) as watch:
        for step, halves in enumerate(zip(*(batches(rank) for rank in range(NUM_PROCESSES)), strict=True)):
            if clip is not None and step == 5:
                halves[1][0][0, 0] = float("nan")
            inputs, targets = (torch.cat(parts) for parts in zip(*halves, strict=True))
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
        return {"weights": model.state_dict(), **numbers_of(watch)}


def train_sharded_three_times(rank: int) -> dict[str, Any]:
    return {
        "bare": train_sharded(rank, None, False),
        "watched": train_sharded(rank, None, True),
        "clipped": train_sharded(rank, 0.05, True),
    }


def test_sharded_gradients_are_read_clipped_and_dropped_as_in_one_process(tmp_path: Path) -> None:
    ranks = in_two_processes(tmp_path / "sharded", train_sharded_three_times)
    alone = train_alone(None)
    for rank in ranks:
        bare, watched = rank["bare"], rank["watched"]
        assert all(torch.equal(weight, watched["weights"][name]) for name, weight in bare["weights"].items())
        assert watched["layers"] == ["0", "2", "3"]
        assert watched["norms"] == pytest.approx(alone["norms"], rel=1e-4)
        for layers, expected in zip(watched["layer_norms"], alone["layer_norms"], strict=True):
            assert layers == pytest.approx(expected, rel=1e-4)
        assert "sharded" in watched["why_not"]

    first, second = (rank["clipped"] for rank in ranks)
    alone = train_alone(0.05)
    assert first["norms"] == pytest.approx(second["norms"], nan_ok=True)
    assert first["norms"] == pytest.approx(alone["norms"], rel=1e-3, nan_ok=True)
    assert first["applied"] == pytest.approx(alone["applied"], rel=1e-3)
    assert first["applied"][5] == 0, "dropped on both ranks for the NaN of one"
    for name, weight in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], weight, rtol=1e-3, atol=1e-4)


def shard_and_watch_half(rank: int) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from vgrad.ranks import meeting

    meeting._WAIT_S = 1.0
    model = network()
    fully_shard(model, mesh=init_device_mesh("cpu", (NUM_PROCESSES,)))
    optimizer = torch.optim.AdamW(model.parameters())
    if rank == 0:
        with pytest.raises(ConfigError, match="rank 1 is not watched"):
            vgrad.watch(model, optimizer)
    inputs, targets = batches(rank)[0]
    F.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    return {}


def test_sharded_gradients_that_one_rank_alone_would_watch_are_refused(tmp_path: Path) -> None:
    in_two_processes(tmp_path / "half", shard_and_watch_half)


class DeepSpeedEngine(nn.Module):
    """Stands in for DeepSpeed's, which is recognised by its name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class FullyShardedDataParallel(DeepSpeedEngine):
    """Likewise, for torch's first FSDP."""


@pytest.mark.parametrize("wrapper", [DeepSpeedEngine, FullyShardedDataParallel])
def test_what_keeps_gradients_elsewhere_is_refused_with_the_reason(wrapper: type[DeepSpeedEngine]) -> None:
    model = network()
    with pytest.raises(ConfigError, match=r"fully_shard\) to watch this model"):
        vgrad.watch(wrapper(model), torch.optim.SGD(model.parameters()))
