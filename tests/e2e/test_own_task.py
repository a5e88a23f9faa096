"""A person's own task file, as a shell and a terminal see it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.folder import all_runs
from vgrad.store.listing import look
from vgrad.store.run_record import RunRecord

TASK = """
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import vgrad


def build(seed, device, width: int = 8, fails: bool = False):
    print("building in python")
    if fails:
        raise ValueError("no such images")
    rows = torch.rand(256, 4)
    data = TensorDataset(rows, rows.sum(1, keepdim=True))
    model = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 1))
    model.to(device)
    return vgrad.Task(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01),
        data=DataLoader(data, batch_size=32, shuffle=True),
        loss=F.mse_loss,
    )


def short(seed, device):
    task = build(seed, device)
    pairs = [(torch.rand(8, 4), torch.rand(8, 1)) for _ in range(5)]
    return vgrad.Task(model=task.model, optimizer=task.optimizer, data=iter(pairs), loss=F.mse_loss)


def endless(seed, device):
    generator = torch.Generator().manual_seed(seed)
    task = build(seed, device)
    pairs = ((torch.rand(8, 4, generator=generator), torch.zeros(8, 1)) for _ in iter(int, 1))
    return vgrad.Task(model=task.model, optimizer=task.optimizer, data=pairs, loss=F.mse_loss)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_task.py").write_text(TASK)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VGRAD_TUI, "run", *arguments],
        cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip


def test_a_task_file_runs_without_a_screen_like_a_recipe(folder: Path) -> None:
    (folder / "mine.toml").write_text('recipe = "my_task.py"\nclip = "norm:1"\n[options]\nwidth = 4\n')
    results = [
        run(folder, *source, "--headless", "--steps", "12", "--seed", "3")
        for source in (("my_task.py", "--set", "width=4", "--clip", "norm:1"), ("mine.toml",))
    ]
    by_flags, by_file = (json.loads(result.stdout) for result in results)
    assert [result.returncode for result in results] == [0, 0]
    assert "building in python" in results[0].stderr
    assert (by_flags["recipe"], by_flags["steps"], by_flags["outcome"]) == ("my_task.py", 12, "done")
    assert by_flags["val_loss"] is None
    assert by_flags["loss_last"] == by_file["loss_last"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("my_task.py", "--set", "widht=4"), 2, "has no option 'widht'; did you mean 'width'?"),
        (("my_task.py", "--activation", "tanh"), 2, "activation: cannot be changed in this model"),
        (("my_tsk.py",), 2, "the task file 'my_tsk.py' does not exist"),
        (("my_task",), 2, "did you mean the file my_task.py?"),
        (("my_task.py", "--set", "fails=on"), 1, "ValueError: no such images"),
    ],
)
def test_what_is_wrong_is_said_with_the_exit_code(
    folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run(folder, *arguments, "--headless", "--steps", "4")
    assert result.returncode == code
    assert message in result.stderr
    if code == 1:
        assert result.stderr.count('  File "') == 1
        assert json.loads(result.stdout)["outcome"] == "failed"
    else:
        assert "Traceback" not in result.stderr


def test_data_that_ends_ends_the_run_and_says_so(folder: Path) -> None:
    result = run(folder, "my_task.py:short", "--headless", "--steps", "100")
    summary = json.loads(result.stdout)
    assert (result.returncode, summary["outcome"], summary["steps"]) == (0, "done", 5)
    assert "the training data ended" in result.stderr


def test_an_lstm_that_cannot_be_trained_in_float16_is_bad_usage(tmp_path: Path) -> None:
    result = run(tmp_path, "charlm-lstm", "--headless", "--steps", "4", "--precision", "fp16")
    assert result.returncode == 2
    assert "cannot be trained in float16 on cpu" in result.stderr
    assert "use fp32" in result.stderr
    assert result.stdout == ""


def test_a_task_file_on_the_screen_takes_every_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with Terminal([VGRAD_TUI, "run", "my_task.py", "--set", "width=16"], columns=120, lines=36) as terminal:
        screen = terminal.wait_for("● training")
        assert "my_task" in screen
        terminal.wait_for(r"step [1-9]")
        terminal.press("c")
        terminal.wait_for(r"clip +norm 1  @ [\d,]+")
        for key in "2345":
            terminal.press(key)
        terminal.press("1")
        screen = terminal.wait_for(r"● ok")
        assert "baseline" not in screen
        assert "nan" not in screen.lower()
        terminal.press("q")
        terminal.wait_for("Quit")
        terminal.press("y")
        assert terminal.wait() == 0
        assert "my_task.py, seed 0: stopped" in terminal.text()


def test_an_error_in_the_file_is_shown_on_the_screen_and_gives_the_terminal_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with Terminal([VGRAD_TUI, "run", "my_task.py", "--set", "fails=on"], columns=100, lines=30) as terminal:
        terminal.wait_for("ValueError: no such images")
        terminal.press("\x1b")
        terminal.wait_until_gone("esc closes this")
        terminal.press("q")
        assert terminal.wait() == 1
        assert "error: ValueError: no such images" in terminal.text()


def test_data_that_can_only_be_read_on_keeps_d_from_leaving_and_a_dropped_line_trains_it_again(
    folder: Path,
) -> None:
    with Terminal([VGRAD_TUI, "run", folder / "my_task.py:endless"], columns=160, lines=36) as terminal:
        terminal.wait_for("● training")
        terminal.press("d")
        terminal.wait_for("it cannot go on in another process: the position")
        [old] = all_runs()
        assert look(old).status == "alive"
        terminal.signal(signal.SIGHUP)
        assert terminal.wait() == 130
    [new] = [run for run in all_runs() if run.name != old.name]
    parent = RunRecord.read(new).info.parent
    assert parent is not None and (parent.run, parent.step) == (old.name, look(old).step)
    until(lambda: look(new).step > parent.step)
