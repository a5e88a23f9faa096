"""A loop of somebody's own is recorded like any run, takes commands from its inbox, and never notices."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.waiting import until
from torch import nn

import vgrad
from vgrad.errors import ConfigError
from vgrad.events.notices import CommandApplied, CommandRejected, RunEnded
from vgrad.store import inbox
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.listing import look
from vgrad.store.reader import RunReader


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for number in range(steps):
        optimizer.zero_grad()
        inputs = torch.linspace(-1, 1, 24).reshape(8, 3) + number % 3
        model(inputs).square().mean().backward()
        optimizer.step()


def recorded_steps(folder: RunFolder) -> list[int]:
    with RunReader(folder) as reader:
        return [int(step) for block in reader.take().blocks for step in block.step]


def test_every_step_is_recorded_and_the_run_has_ended_with_the_watch() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, name="mine"):
        train(model, optimizer, 50)
        until(all_runs)
        [folder] = all_runs()
        assert folder.name.startswith("mine-") and folder.pid() == os.getpid()
    assert recorded_steps(folder) == list(range(1, 51))
    assert folder.pid() is None and look(folder).status == "finished"


@pytest.mark.parametrize("record", [True, False])
def test_watches_that_are_dropped_leave_nothing_behind(record: bool) -> None:
    """As in a notebook whose cell is run again, or a search that trains one model after another."""

    def trial(number: int) -> weakref.ref[nn.Module]:
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        vgrad.watch(model, optimizer, name=f"trial {number}", record=record)
        train(model, optimizer, 10)
        return weakref.ref(model)

    threads = set(threading.enumerate())
    models = [trial(number) for number in range(5)]

    def are_gone() -> bool:
        gc.collect()
        return not any(model() for model in models) and set(threading.enumerate()) <= threads

    until(are_gone)
    assert len(all_runs()) == 5 * record
    for folder in all_runs():
        assert look(folder).status == "finished"
        assert recorded_steps(folder) == list(range(1, 11))


def test_a_watch_that_is_dropped_as_python_exits_has_finished(tmp_path: Path) -> None:
    script = tmp_path / "drops.py"
    script.write_text(
        "import gc, os, torch, vgrad\n"
        "model = torch.nn.Linear(3, 1)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "vgrad.watch(model, optimizer)\n"
        "for _ in range(5):\n"
        "    optimizer.zero_grad(); model(torch.ones(2, 3)).square().mean().backward(); optimizer.step()\n"
        "del model, optimizer\n"
        "gc.collect()\n"
    )
    subprocess.run([sys.executable, script], check=True, timeout=120)
    [folder] = all_runs()
    assert look(folder).status == "finished" and recorded_steps(folder) == [1, 2, 3, 4, 5]


def test_a_second_watch_of_an_optimizer_joins_the_run_of_the_first() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer, name="first") as first:
        train(model, optimizer, 3)
        with vgrad.watch(model, optimizer, name="second") as second:
            train(model, optimizer, 4)
            assert (first.step, second.step) == (4, 4) and first.layers == second.layers == ("0", "2")
            assert [record.step for record in second.records()] == [1, 2, 3, 4]
        assert second.is_closed and not first.is_closed and not optimizer._optimizer_step_pre_hooks
        train(model, optimizer, 5)  # is the first one's again
    assert [record.step for record in first.records()] == [1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 5]
    [folder] = all_runs()
    assert folder.name.startswith("first-") and len(recorded_steps(folder)) == 12
    assert not optimizer._optimizer_step_pre_hooks


def test_what_two_watches_clip_is_clipped_once_and_both_end_with_the_first() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = vgrad.watch(model, optimizer, record=False)
    first.apply(vgrad.Set("clip", "norm:0.01"))
    watches = [vgrad.watch(model, optimizer, record=False) for _ in range(20)]  # none of them closed
    train(model, optimizer, 2)
    [_, record] = watches[-1].records()
    assert record.applied_norm == pytest.approx(0.01, rel=1e-3) and record.step == 2
    assert len(optimizer._optimizer_step_pre_hooks) == 1
    assert isinstance(watches[-1].apply(vgrad.Set("clip", None)), CommandApplied)
    first.close()
    assert all(each.is_closed for each in watches) and not optimizer._optimizer_step_pre_hooks
    assert isinstance(watches[-1].apply(vgrad.Set("clip", "norm:1")), CommandRejected)


def test_of_two_optimizers_a_second_watch_takes_one() -> None:
    torch.manual_seed(0)
    models = [nn.Linear(2, 2), nn.Linear(2, 2)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    with vgrad.watch(models, optimizers, record=False) as first:
        with vgrad.watch(models[1], optimizers[1], record=False) as second:
            for _ in range(3):
                sum(model(torch.ones(1, 2)).sum() for model in models).backward()  # type: ignore[union-attr]
                for optimizer in optimizers:
                    optimizer.step()
            assert [record.step for record in second.records()] == [1, 2, 3]
        assert sorted((record.part, record.step) for record in first.records()) == [
            *((0, step) for step in (1, 2, 3)), *((2, step) for step in (1, 2, 3))
        ]  # fmt: skip


def test_a_command_that_was_sent_is_carried_out_in_the_loop_and_answered() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer) as watch:
        train(model, optimizer, 1)
        until(all_runs)
        [folder] = all_runs()
        inbox.send(folder.inbox, vgrad.Set("clip", "norm:0.001"), command_id="one", sender="me")
        inbox.send(folder.inbox, vgrad.Stop(), command_id="two")

        def is_clipped() -> bool:
            train(model, optimizer, 1)
            return watch.controls.clip is not None

        until(is_clipped)
        train(model, optimizer, 1)
        watch.submit(vgrad.Set("clip", None), command_id="too late")
    assert watch.records()[-1].applied_norm == pytest.approx(0.001, rel=1e-3)
    with RunReader(folder) as reader:
        notices = {notice.command_id: notice for notice in reader.take().notices}
    assert isinstance(notices["one"].body, CommandApplied) and notices["one"].sender == "me"
    assert isinstance(notices["two"].body, CommandRejected)
    assert isinstance(notices["too late"].body, CommandRejected), "it is answered, too"


def test_an_error_in_the_loop_is_how_the_run_has_ended() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = vgrad.watch(model, optimizer)

    def fail() -> None:
        with watch:
            train(model, optimizer, 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    ended = watch.cursor().take().notices[-1].body
    assert isinstance(ended, RunEnded) and (ended.reason, ended.step) == ("failed", 3)
    [folder] = all_runs()
    assert look(folder).status == "failed"


def test_recording_changes_no_bit_and_can_be_left_out(own_home: Path) -> None:
    bare, unrecorded, recorded = make_model(), make_model(), make_model()
    train(bare, torch.optim.Adam(bare.parameters()), 30)
    optimizer = torch.optim.Adam(unrecorded.parameters())
    with vgrad.watch(unrecorded, optimizer, record=False):
        train(unrecorded, optimizer, 30)
    assert not own_home.exists()
    optimizer = torch.optim.Adam(recorded.parameters())
    with vgrad.watch(recorded, optimizer):
        train(recorded, optimizer, 30)
    for model in (unrecorded, recorded):
        assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), model.parameters(), strict=True))


def test_where_nothing_can_be_written_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGRAD_HOME", str(tmp_path / "file"))
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer) as watch:
        train(model, optimizer, 5)
    assert len(watch.records()) == 5
    assert "not recorded" in caplog.text


@pytest.mark.parametrize(("last_line", "status"), [("1 / 0", "failed"), ("", "finished")])
def test_a_script_that_closes_no_watch_has_ended_as_python_has(
    tmp_path: Path, last_line: str, status: str
) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import torch, vgrad\nmodel = torch.nn.Linear(2, 1)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\nw = vgrad.watch(model, optimizer)\n"
        f"model(torch.ones(3, 2)).sum().backward()\noptimizer.step()\n{last_line}\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if last_line else 0)
    [folder] = all_runs()
    assert look(folder).status == status


def test_a_process_that_is_watched_as_a_whole_is_recorded_once(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import torch, vgrad\nmodel = torch.nn.Linear(2, 1)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "with vgrad.watch(model, optimizer) as w:\n"
        "    model(torch.ones(3, 2)).sum().backward()\n    optimizer.step()\n    print(len(w.records()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "vgrad", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    [folder] = all_runs()
    assert look(folder).step == 1 and folder.name.startswith("train-")


JOINS = """
import torch, vgrad
torch.manual_seed(0)
models = [torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)]
optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
watches = [vgrad.watch(model, optimizer) for model, optimizer in zip(models, optimizers)]

def train(num_steps):
    for _ in range(num_steps):
        for model, optimizer in zip(models, optimizers):
            optimizer.zero_grad()
            (model(torch.randn(8, 2)) - 3).square().mean().backward()
            optimizer.step()

train(3)
print([len(w.records()) for w in watches], [w.layers for w in watches], [w.step for w in watches])
watches[0].log(mine=1.0)
print(type(watches[0].apply(vgrad.Set("clip", vgrad.ClipGradNorm(0.01)))).__name__, watches[1].controls.clip)
watches[1].submit(vgrad.Set("lr_scale", 0.5))
train(3)
print([[round(r.applied_norm, 3) <= 0.01 for r in w.records()] for w in watches])
print([w.verdict.kind for w in watches], [optimizer.param_groups[0]["lr"] for optimizer in optimizers])
watches[0].close()
watches[0].close()
train(2)
print(watches[0].is_closed, watches[0].step, [r.step for r in watches[1].records()])
print(type(watches[0].apply(vgrad.Set("clip", None))).__name__)
with vgrad.watch(models[0], optimizers[0]) as again:
    train(2)
    print([(r.step, r.loss is None) for r in again.records()])
print([p.tolist() for model in models for p in model.parameters()])
raise SystemExit(4)
"""


def test_a_watch_joins_that_of_its_process_and_does_the_same(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(JOINS)
    bare, whole = (
        subprocess.run([sys.executable, *way, script], capture_output=True, text=True, check=False)
        for way in ((), ("-m", "vgrad"))
    )
    assert whole.returncode == bare.returncode == 4, whole.stderr
    assert whole.stdout == bare.stdout and "[3, 3]" in bare.stdout
    folders = all_runs()
    [folder] = [each for each in folders if each.name.startswith("train-")]
    assert len(folders) == 4  # the script alone records each of its three watches
    of_parts = [range(1, 7), range(1, 11), range(1, 3), range(1, 3)]  # what was closed is the process's own
    assert sorted(recorded_steps(folder)) == sorted(step for steps in of_parts for step in steps)


HALVED = """
import time, torch, vgrad
from vgrad.store import inbox
from vgrad.store.folder import all_runs
torch.manual_seed(0)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
w = vgrad.watch(model, optimizer)

def step():
    optimizer.zero_grad()
    (model(torch.randn(8, 2)) - 3).square().mean().backward()
    optimizer.step()

step()
end = time.monotonic() + 60
while not all_runs() and time.monotonic() < end:
    time.sleep(0.01)
[folder] = all_runs()
inbox.send(folder.inbox, vgrad.Set("lr_scale", 0.5), command_id="one")
while w.controls.lr_scale != 0.5 and time.monotonic() < end:
    step()
w.records()
step()
print([(record.lr, record.base_lr) for record in w.records()], len(optimizer._optimizer_step_pre_hooks))
"""


def test_a_command_from_outside_acts_once_on_a_watch_that_has_joined(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(HALVED)
    whole = subprocess.run(
        [sys.executable, "-m", "vgrad", script], capture_output=True, text=True, check=False
    )
    assert whole.stdout == "[(0.05, 0.1)] 1\n", whole.stderr


CLOSED_AND_GONE = """
import gc, weakref, torch, vgrad
gone = []
for fold in range(3):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with vgrad.watch(model, optimizer) as w:
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
    gone.append(weakref.ref(model))
del model, optimizer, w
gc.collect()
print([ref() is None for ref in gone])
"""


def test_what_a_closed_watch_has_watched_is_not_kept_in_memory(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(CLOSED_AND_GONE)
    for way in ((), ("-m", "vgrad")):
        done = subprocess.run([sys.executable, *way, script], capture_output=True, text=True, check=False)
        assert done.stdout == "[True, True, True]\n", (way, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"watch_budget": 1.5}, "watch_budget must be from 0 to 1, got 1.5"),
        ({"watch_budget": float("nan")}, "watch_budget must be from 0 to 1, got nan"),
        ({"controls": {"clip": "norm:1"}}, "controls must be vgrad.Controls"),
        ({"loss": 1.0}, "loss must be a function, got 1.0"),
        ({"on_verdict": "print"}, "on_verdict must be a function"),
        ({"model": None}, "model must be a torch module, or several, got NoneType"),
        ({"model": 3}, "model must be a torch module, or several, got int"),
        ({"optimizer": None}, "not a torch optimizer"),
        ({"optimizer": []}, "there is no optimizer to watch"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_words(arguments: dict[str, Any], told: str) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=re.escape(told)):
        vgrad.watch(**{"model": model, "optimizer": optimizer, "record": False, **arguments})
    assert not optimizer._optimizer_step_pre_hooks
