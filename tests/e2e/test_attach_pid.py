"""A process that was started without vgrad is watched, steered and released, and its training goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import RequireTool
from tests.e2e.test_detached import until, vgrad_tui

from vgrad.store.folder import RunFolder
from vgrad.store.listing import look

# Trains until a file says stop, and reports the weights' bits at a step that is asked for.
TRAINS = """
import hashlib, pathlib, sys, time, torch
stop, out = map(pathlib.Path, sys.argv[1:])
torch.manual_seed(0); torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
step = 0
print("go", flush=True)
last = None
while last is None or step < last:
    torch.manual_seed(step)
    optimizer.zero_grad()
    model(torch.randn(16, 6)).square().mean().backward()
    optimizer.step()
    step += 1
    time.sleep(0.001)
    if last is None and stop.exists():
        last = int(stop.read_text()) or step
    if last is not None and step > last:
        last = step
digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()
hooks = len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)
out.write_text(f"{step} {digest} {hooks} {torch.autograd.backward.__module__}")
"""


@pytest.fixture
def training(tmp_path: Path, require_tool: RequireTool) -> Iterator[subprocess.Popen[str]]:
    require_tool("gdb")
    (tmp_path / "train.py").write_text(TRAINS)
    with start(tmp_path, "stop") as process:
        yield process
        process.kill()


def start(folder: Path, stop: str) -> subprocess.Popen[str]:
    arguments = ["train.py", stop, f"{stop}.out"]
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    return process


def test_a_running_process_is_found_watched_steered_and_released(
    training: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert str(training.pid) in vgrad_tui("attach", "--list").stdout
    attached = vgrad_tui("attach", str(training.pid))
    assert attached.returncode == 0, attached.stderr
    folder = RunFolder.find(attached.stdout.strip())
    assert folder.pid() == training.pid
    until(lambda: look(folder).step > 20)
    assert vgrad_tui("attach", str(training.pid)).stdout.strip() == folder.name, "it is watched already"
    halved = vgrad_tui("send", folder.name, "lr_scale", "0.5")
    assert halved.returncode == 0, halved.stderr
    released = vgrad_tui("release", folder.name)
    assert released.returncode == 0, released.stderr
    assert folder.pid() is None and training.poll() is None
    (tmp_path / "stop").write_text("0")
    assert training.wait(60) == 0
    assert training.stdout is not None and training.stdout.read() == ""
    _, _, hooks, home = (tmp_path / "stop.out").read_text().split()
    assert (hooks, home) == ("0", "torch.autograd")


@pytest.mark.parametrize("turn", range(3))
def test_attaching_and_releasing_changes_no_bit(
    training: subprocess.Popen[str], tmp_path: Path, turn: int
) -> None:
    attached = vgrad_tui("attach", str(training.pid))
    assert attached.returncode == 0, attached.stderr
    assert vgrad_tui("release", attached.stdout.strip()).returncode == 0
    (tmp_path / "stop").write_text("0")
    assert training.wait(60) == 0
    step, digest, _, _ = (tmp_path / "stop.out").read_text().split()
    (tmp_path / "bare").write_text(step)
    with start(tmp_path, "bare") as bare:
        assert bare.wait(120) == 0
    assert (tmp_path / "bare.out").read_text().split()[:2] == [step, digest]


def test_what_cannot_be_attached_to_is_refused_with_what_to_do(require_tool: RequireTool) -> None:
    require_tool("gdb")
    missing = vgrad_tui("attach", "4194999")
    assert missing.returncode == 2 and "there is no process 4194999" in missing.stderr
    with subprocess.Popen(["sleep", "60"]) as other:
        assert "is not Python" in vgrad_tui("attach", str(other.pid)).stderr
        other.kill()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle:
        refused = vgrad_tui("attach", str(idle.pid))
        assert refused.returncode == 2 and "has not loaded torch" in refused.stderr
        idle.kill()
