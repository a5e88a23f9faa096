"""An unmodified script on the screen: its output, its exit code and its signals are its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.command_line import vgrad_tui
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.listing import look

TRAINS = """
import sys, time
print("preparing", flush=True)
import torch
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(int(sys.argv[1])):
    inputs = torch.randn(16, 6)
    optimizer.zero_grad()
    (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
    print(f"\\r\\x1b[31mstep {step}", end="")
    time.sleep(0.005)
sys.exit(7)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "train.py"
    path.write_text(TRAINS)
    yield path
    for folder in all_runs():
        pid = folder.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


def watch(*arguments: str | Path) -> Terminal:
    return Terminal([VGRAD_TUI, "watch", *arguments], columns=120, lines=36)


def leave(terminal: Terminal) -> int:
    """Press q, which closes the box that tells of a failure first, until the program has ended."""
    for _ in range(20):
        terminal.press("q")
        with suppress(AssertionError):
            return terminal.wait(timeout=1.0)
    return terminal.wait()


def test_a_script_is_watched_steered_left_found_again_and_interrupted(script: Path) -> None:
    with watch(script, "1000000") as terminal:
        terminal.wait_for("preparing")
        terminal.wait_for(r"● training +step [\d,]+")
        terminal.press("c")
        terminal.wait_for(r"clip +norm 1  @ [\d,]+")
        terminal.press("o")
        terminal.wait_for(r"6 output")
        terminal.wait_for(r"(?m)^step \d+")
        terminal.press("q")
        assert terminal.wait() == 0
    [folder] = all_runs()
    before = look(folder)
    assert before.status == "alive"
    until(lambda: look(folder).step > before.step)
    with Terminal([VGRAD_TUI, "attach"], columns=120, lines=36) as terminal:
        terminal.wait_for(r"● training +step [\d,]+")
        terminal.press("Q")
        terminal.wait_for("End it")
        terminal.wait_for("interrupt it, as Ctrl-C would")
        terminal.press("y")
        terminal.wait_for("stopped")
        until(lambda: folder.pid() is None)
        terminal.press("q")
        assert terminal.wait() == 0
    until(lambda: "KeyboardInterrupt" in folder.log.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process ignores")
def test_a_script_that_ignores_ctrl_c_is_terminated_and_the_question_says_so(script: Path) -> None:
    ignore = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    deaf = [sys.executable, "-c", f"{ignore}os.execv(sys.argv[1], sys.argv[1:])"]
    command = [*deaf, str(VGRAD_TUI), "watch", "--detach", str(script), "1000000"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    [folder] = all_runs()
    with Terminal([VGRAD_TUI, "attach"], columns=80, lines=24) as terminal:
        terminal.wait_for(r"training +step [\d,]+")
        terminal.press("Q")
        terminal.wait_for("terminate it \\(SIGTERM\\), for it ignores Ctrl-C")
        terminal.press("y")
        until(lambda: folder.pid() is None)
        terminal.wait_for("FAILED|failed|stopped")
        leave(terminal)


def test_the_exit_code_is_the_scripts_own(script: Path) -> None:
    with watch("--clip", "norm:1", script, "200") as terminal:
        terminal.wait_for(r"failed|done|stopped")
        until(lambda: all_runs()[0].pid() is None)
        terminal.wait_for("SystemExit: 7")
        assert leave(terminal) == 7


def test_what_trains_nothing_runs_as_without_us(tmp_path: Path, own_home: Path) -> None:
    path = tmp_path / "idle.py"
    path.write_text("import sys\nprint('arguments', sys.argv[1:])\nsys.exit(5)\n")
    with watch(path, "--name", "x") as terminal:
        terminal.wait_for(r"arguments \['--name', 'x'\]")
        terminal.wait_for("nothing was watched: no optimizer stepped")
        assert terminal.wait() == 5
    assert not list((own_home / "runs").iterdir())


def test_detached_it_prints_its_name_and_runs_on(script: Path) -> None:
    started = vgrad_tui("watch", "--detach", "--name", "mine", str(script), "1000000")
    assert started.returncode == 0, started.stderr
    folder = RunFolder.find(started.stdout.splitlines()[-1])
    assert folder.name.startswith("mine-")
    assert vgrad_tui("send", folder.name, "clip", "norm:1").returncode == 0
    assert vgrad_tui("send", folder.name, "stop").returncode == 4
    pid = folder.pid()
    assert pid is not None and os.getsid(pid) != os.getsid(0)


def test_bad_usage_is_refused_before_anything_runs(own_home: Path) -> None:
    refused = vgrad_tui("watch", "--detach", "--clip", "nonsense", "train.py")
    assert refused.returncode == 2 and "nonsense" in refused.stderr
    assert vgrad_tui("watch", "train.py").returncode == 2
    assert not own_home.exists()


@pytest.mark.parametrize(("name", "steps"), [("hf_trainer", 24), ("lightning_trainer", 48)])
def test_the_trainer_of_a_framework_is_watched_to_its_end(name: str, steps: int) -> None:
    path = Path(__file__).parents[1] / "scripts" / f"{name}.py"
    started = vgrad_tui("watch", "--detach", str(path))
    assert started.returncode == 0, started.stderr
    folder = RunFolder.find(started.stdout.splitlines()[-1])
    until(lambda: folder.pid() is None)
    assert (look(folder).status, look(folder).step) == ("finished", steps)
    assert "weights" in folder.log.read_text()
