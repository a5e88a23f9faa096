"""The commands of the README's section "Your own training" do, in their order, what stands beside them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import RequireTool
from tests.e2e.attached_shapes import Training
from tests.e2e.command_line import vgrad_tui
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.listing import look

README = Path(__file__).parents[2] / "README.md"

SCRIPT = """
import pathlib, time, torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
step = 0
while step < 30 or not pathlib.Path("end").exists():
    inputs = torch.randn(16, 6)
    optimizer.zero_grad()
    (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
    step += 1
    time.sleep(0.002)
"""


def commands(first: str, last: str) -> list[str]:
    section = README.read_text(encoding="utf-8").partition(first)[2].partition(last)[0]
    found: list[str] = re.findall(r"^    ((?:vgrad-tui|python) .+?)(?:  .*)?$", section, flags=re.MULTILINE)
    return found


def alive() -> list[RunFolder]:
    return [folder for folder in all_runs() if folder.pid() is not None]


def test_a_script_under_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    for path in (tmp_path / "train.py", tmp_path / "package" / "train.py"):
        path.write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    tried = commands("## Your own training", "\n### ")
    assert len(tried) == 5
    for line in tried:
        (tmp_path / "end").unlink(missing_ok=True)
        program, *args = shlex.split(line)
        if program == "python":
            (tmp_path / "end").touch()
            done = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert json.loads((tmp_path / "run.json").read_text())["steps"] == 30
        elif "--detach" in args:
            done = vgrad_tui(*args)
            assert done.returncode == 0, done.stderr
            assert [folder.name for folder in alive()] == done.stdout.split()
        else:
            with Terminal([VGRAD_TUI, *args], columns=120, lines=36) as terminal:
                terminal.wait_for(r"● training")
                if "--clip" in args:
                    terminal.wait_for(r"clip +norm 1\b")
                terminal.press("q")
                assert terminal.wait() == 0
        (tmp_path / "end").touch()
        until(lambda: not alive())


def test_a_process_that_is_training_already(tmp_path: Path, require_tool: RequireTool) -> None:
    if sys.version_info < (3, 14):
        require_tool("gdb")
    training = Training(tmp_path / "process", "plain")
    try:
        listing, attach, release = (
            shlex.split(line.replace("12345", training.pid))[1:]
            for line in commands("### A process that is training already", "\n### ")
        )
        assert training.pid in vgrad_tui(*listing).stdout
        with Terminal([VGRAD_TUI, *attach], columns=120, lines=36) as terminal:
            terminal.wait_for(r"● training")
            terminal.press("q")
            assert terminal.wait() == 0
        [folder] = alive()
        before = look(folder).step
        until(lambda: look(folder).step > before)
        released = vgrad_tui(*release)
        assert released.returncode == 0, released.stderr
        assert not alive()
        assert training.end().num_hooks == 0
    finally:
        training.kill()
