"""Watching sharded gradients ends on all ranks together where it ends on one, and training goes on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.ranks.torchrun import torchrun

from vgrad.store.folder import all_runs
from vgrad.store.listing import look

FAILS_ON_ONE_RANK = """
import json, pathlib, torch, torch.distributed as dist, torch.nn.functional as F
from contextlib import nullcontext
from unittest.mock import patch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
import vgrad
from vgrad.watching.chain import Chain
from vgrad.watching.loss_at_backward import LossAtBackward
from vgrad.watching.part import WatchedPart
from vgrad.watching.step_meter import StepMeter
from gloo_threads import wait_until_idle

dist.init_process_group("gloo")
torch.set_num_threads(1)
rank = dist.get_rank()
mesh = init_device_mesh("cpu", (2,))

def failing(original, call, is_after):
    calls = 0
    def wrapper(*args, **kwargs):
        nonlocal calls
        calls += 1
        result = original(*args, **kwargs) if is_after or calls != call else None
        if calls == call:
            raise RuntimeError("made to fail")
        return result
    return wrapper

def train(fails=nullcontext(), clip=None, closes_after=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 4))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    controls = vgrad.Controls() if clip is None else vgrad.Controls(clip=clip)
    watch = vgrad.watch(model, optimizer, controls=controls, name="sharded", record=clip is not None)
    generator = torch.Generator().manual_seed(rank)
    with fails if rank == 1 else nullcontext():
        for step in range(8):
            inputs = torch.randn(6, 8, generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), inputs[:, :4].argmax(1)).backward()
            optimizer.step()
            if step + 1 == closes_after and rank == 1:
                watch.close()
    said = str(watch.guard.error)
    is_closed = watch.is_closed
    watch.close()
    weights = [value.full_tensor().tolist() for value in model.state_dict().values()]
    return weights, is_closed, said

def at(owner, name, call, is_after=False):
    return patch.object(owner, name, failing(getattr(owner, name), call, is_after))

bare = train()
found = {
    "first step, before the norms": train(at(WatchedPart, "at_boundary", 1)),
    "before the norms": train(at(WatchedPart, "at_boundary", 4)),
    "after the norms": train(at(StepMeter, "read", 4, True)),
    "after the step": train(at(StepMeter, "finish", 4, True)),
    "at backward": train(at(LossAtBackward, "before_backward", 4)),
    "closed": train(closes_after=4),
}
clipped = train(at(Chain, "run_", 99), clip="value:0.01")
between = train(at(Chain, "_apply_", 4), clip="value:0.01")
pathlib.Path(f"{rank}.json").write_text(json.dumps([bare, found, clipped, between]))
wait_until_idle()
dist.destroy_process_group()
"""


def test_an_error_of_the_watcher_on_one_rank_ends_watching_on_all_and_training_on_none(
    tmp_path: Path,
) -> None:
    (tmp_path / "train.py").write_text(FAILS_ON_ONE_RANK)
    process = torchrun("train.py", cwd=tmp_path)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    bare = first[0][0]
    for case, (weights, is_closed, said) in first[1].items():
        assert weights == bare, case
        assert is_closed, case
        assert "rank 1 is not watched any more" in said, case
    for case, (weights, is_closed, said) in second[1].items():
        assert weights == bare, case
        assert is_closed, case
        assert said == ("None" if case == "closed" else "made to fail"), case
    for clipped in (first, second):
        weights, is_closed, _ = clipped[2]
        assert not is_closed and weights != bare
    assert first[2][0] == second[2][0] and first[3][0] == second[3][0], "the ranks agree"
    assert first[3][1] and second[3][1]
    assert "rank 1 is not watched any more" in first[3][2]
    assert [look(folder).status for folder in all_runs()] == ["failed", "finished"]
