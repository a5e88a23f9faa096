"""A command takes effect as the same step begins on every rank, and trains what one process would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tests.engine.ranks.torchrun import torchrun
from tests.waiting import until
from torch import nn

import vgrad
from vgrad.events.notices import CommandRejected, RankReported
from vgrad.store import inbox
from vgrad.store.folder import all_runs
from vgrad.store.reader import RunReader

BATCH = """
def batch(step, rank):
    generator = torch.Generator().manual_seed(10 * step + rank)
    return torch.randn(6, 8, generator=generator), torch.randint(4, (6,), generator=generator)

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
"""
TRAIN = f"""
import json, sys
import torch, torch.distributed as dist, torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import vgrad
{BATCH}
dist.init_process_group("gloo")
torch.set_num_threads(1)
rank = dist.get_rank()
model = DistributedDataParallel(network())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
more = 20
with vgrad.watch(model, optimizer) as watch:
    step = 0
    while more:
        inputs, targets = batch(step, rank)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        step += 1
        more -= watch.controls.clip is not None
    cursor = watch.cursor()
applied = [n.step for n in cursor.take().notices if type(n.body).__name__ == "CommandApplied"]
torch.save(model.module.state_dict(), f"weights{{rank}}.pt")
with open(f"rank{{rank}}.json", "w") as file:
    json.dump({{"applied": applied, "steps": step}}, file)
dist.destroy_process_group()
"""


def train_alone(steps: int, clip_from: int) -> dict[str, torch.Tensor]:
    """One process on the batches of both ranks."""
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(BATCH, names)
    model = names["network"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, record=False) as watch:
        for step in range(steps):
            if step + 1 == clip_from:
                watch.apply(vgrad.Set("clip", "norm:0.05"))
            inputs, targets = (
                torch.cat(both) for both in zip(*(names["batch"](step, r) for r in (0, 1)), strict=True)
            )
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    return dict(model.state_dict())


def test_a_command_from_outside_takes_effect_at_one_step_on_both_ranks(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    process = torchrun("train.py", cwd=tmp_path)
    until(all_runs)
    [folder] = all_runs()
    inbox.send(folder.inbox, vgrad.Set("clip", "norm:0.05"))
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    [applied] = first["applied"]
    assert applied == first["steps"] - 19 and applied > 1
    weights = [torch.load(tmp_path / f"weights{rank}.pt", weights_only=True) for rank in (0, 1)]
    alone = train_alone(first["steps"], applied)
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name])
        torch.testing.assert_close(weight, alone[name], rtol=1e-3, atol=1e-5)


NONSENSE = f"""
import json, sys, threading
import torch, torch.distributed as dist, torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import vgrad
from gloo_threads import wait_until_idle
{BATCH}
dist.init_process_group("gloo")
torch.set_num_threads(1)
rank = dist.get_rank()
model = DistributedDataParallel(network())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
nonsense = ["clip=norm:1", object(), vgrad.Set("clip", object()), vgrad.Set("freeze", "nowhere")]

def ask():
    for command in (*nonsense, vgrad.Set("clip", "norm:0.05")):
        watch.apply(command)

with vgrad.watch(model, optimizer, record=False) as watch:
    step = 0
    while watch.controls.clip is None and not watch.is_closed:
        if rank == 0 and step == 3:
            asking = threading.Thread(target=ask)
            asking.start()
            asking.join()
        inputs, targets = batch(step, rank)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        step += 1
    cursor = watch.cursor()
answers = [n.body for n in cursor.take().notices if n.command_id is not None]
with open(f"rank{{rank}}.json", "w") as file:
    json.dump([getattr(answer, "reason", "") for answer in answers], file)
wait_until_idle()
dist.destroy_process_group()
"""


def test_what_makes_no_sense_is_refused_on_both_ranks_and_watching_goes_on(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(NONSENSE)
    process = torchrun("train.py", cwd=tmp_path)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    asking, other = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert [reason.startswith("not a command: ") for reason in asking] == [True, True, False, False, False]
    assert asking[2:] == other, "what could be a command is answered by every rank"
    assert other[0].startswith("clip must be one of")
    assert other[1:] == ["no layer matches 'nowhere'; layers are: 0, 2", ""]


HALF_WATCHED = """
import os, time
import torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import vgrad
from gloo_threads import wait_until_idle
dist.init_process_group("gloo")
torch.set_num_threads(1)
model = DistributedDataParallel(nn.Linear(6, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
if dist.get_rank() == 0:
    watch = vgrad.watch(model, optimizer)
stop = torch.zeros(())
while not stop:
    optimizer.zero_grad()
    model(torch.randn(16, 6)).square().mean().backward()
    optimizer.step()
    stop.fill_(os.path.exists("stop"))
    dist.broadcast(stop, 0)
    time.sleep(0.01)  # for 10 s a rank that is late is waited for; other tests can use the processors
if dist.get_rank() == 0:
    watch.close()
wait_until_idle()
dist.destroy_process_group()
"""


def test_where_a_rank_is_not_watched_a_command_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(HALF_WATCHED)
    process = torchrun("train.py", cwd=tmp_path)
    until(all_runs)
    [folder] = all_runs()
    command_id = inbox.send(folder.inbox, vgrad.Set("clip", "norm:0.05"))
    with RunReader(folder) as reader:
        until(lambda: reader.answer(command_id))
        answer = reader.answer(command_id)
    (tmp_path / "stop").touch()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert answer is not None and isinstance(answer.body, CommandRejected)
    assert "not watched: rank 1 of 2" in answer.body.reason
    with RunReader(folder) as reader:
        said = [n.body.what for n in reader.take().notices if isinstance(n.body, RankReported)]
    assert said == ["it is not watched"]
