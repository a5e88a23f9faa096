"""A script on two processes under the screen's own launcher: left, hung up on, steered, and interrupted."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.command_line import vgrad_tui
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.e2e.test_watch import leave
from tests.waiting import until

from vgrad.store.attached_run import AttachedRun
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.listing import look
from vgrad.store.reader import RunReader

TRAINS = """
import sys, time
import torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
torch.set_num_threads(1)
model = DistributedDataParallel(nn.Linear(6, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for _ in range(int(sys.argv[1]) if sys.argv[1:] else 1_000_000):
    optimizer.zero_grad()
    model(torch.randn(16, 6)).square().mean().backward()
    optimizer.step()
    time.sleep(0.005)
dist.destroy_process_group()
"""
README = Path(__file__).parents[2] / "README.md"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second where it ends while it is read
        return False


def test_ranks_outlive_a_hangup_are_steered_as_one_and_end_together(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAINS)
    started = vgrad_tui("watch", "--detach", "--nproc-per-node", "2", str(script))
    assert started.returncode == 0, started.stderr
    folder = RunFolder.find(started.stdout.splitlines()[-1])
    first = folder.pid()
    assert first is not None
    launcher = parent_of(first)
    try:
        with RunReader(folder) as reader:
            until(lambda: len([r for r in (reader.take().ranks or ()) if r.pid]) == 2)
        assert os.getsid(launcher) == launcher != os.getsid(0), "no terminal's end reaches it"
        for pid in (launcher, first):
            os.kill(pid, signal.SIGHUP)
        before = look(folder).step
        until(lambda: look(folder).step > before + 20)
        assert vgrad_tui("send", folder.name, "clip", "norm:1").returncode == 0
        with Terminal([VGRAD_TUI, "attach", folder.name], columns=120, lines=36) as terminal:
            terminal.wait_for(r"● training +step [\d,]+")
            terminal.wait_for(r"clip +norm 1  @ [\d,]+")
            terminal.press("R")
            terminal.wait_for(r"rank +step +a step")
            terminal.press("R")
            terminal.press("q")
            assert terminal.wait() == 0
        run = AttachedRun(folder)
        run.drain()
        pids = [each.pid for each in run._ranks]
        run.stop()
        assert run.join(60)
        run.close()
        until(lambda: not any(map(is_alive, (*pids, launcher))))
        assert look(folder).status == "stopped"
    finally:
        if is_alive(launcher):
            os.kill(launcher, signal.SIGTERM)


def test_the_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAINS)
    section = (
        README.read_text(encoding="utf-8").partition("### Several processes: torchrun")[2].partition("\n#")[0]
    )
    torchrun, watch_torchrun, watch = re.findall(r"^    (\S.*?)(?:  .*)?$", section, flags=re.MULTILINE)
    name, *arguments = shlex.split(torchrun)
    assert name == "torchrun"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments, "60"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [folder] = all_runs()
    assert look(folder).status == "finished" and look(folder).step == 60

    for command in (watch_torchrun, watch):
        name, *arguments = shlex.split(command)
        assert name == "vgrad-tui"
        with Terminal([VGRAD_TUI, *arguments], columns=120, lines=36) as terminal:
            terminal.wait_for(r"train .*● training +step [\d,]+")
            terminal.press("R")
            terminal.wait_for(r"1 +[\d,]+ .* ms")
            terminal.press("R")
            terminal.press("Q")
            terminal.wait_for("End it")
            terminal.press("y")
            terminal.wait_for("stopped")
            until(lambda: all(folder.pid() is None for folder in all_runs()))
            leave(terminal)
