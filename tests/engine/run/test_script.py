"""`python -m vgrad` beside the script's own run: its options, its exit codes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vgrad.errors import ConfigError
from vgrad.run.script_options import read_script_options
from vgrad.store.folder import RunFolder
from vgrad.store.listing import look

TRAINS = """
import sys
import torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]))
for step in range(80):
    inputs = torch.randn(16, 6)
    optimizer.zero_grad()
    loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
    loss.backward()
    optimizer.step()
print("steps", step + 1)
"""


def vgrad(*argv: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vgrad", *argv],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **environ},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAINS)
    return tmp_path


def test_the_summary_says_what_was_trained(folder: Path) -> None:
    done = vgrad("--summary", "s.json", "--name", "mine", "train.py", "0.01", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "steps 80\n", "")
    summary = json.loads((folder / "s.json").read_text())
    assert (summary["recipe"], summary["steps"], summary["outcome"]) == ("mine", 80, "done")
    assert summary["loss_last"] < summary["loss_first"]


@pytest.mark.parametrize("at", [0, 40])
def test_a_script_may_change_its_directory(folder: Path, at: int) -> None:
    (folder / "elsewhere").mkdir()
    moves = f"    if step == {at}: import os; os.chdir('elsewhere')\n"
    (folder / "train.py").write_text(TRAINS.replace("    inputs =", moves + "    inputs ="))
    done = vgrad("--summary", "s.json", "train.py", "0.01", cwd=folder, VGRAD_HOME="home")
    assert (done.returncode, done.stdout, done.stderr) == (0, "steps 80\n", "")
    assert json.loads((folder / "s.json").read_text())["steps"] == 80
    [run] = (folder / "home" / "runs").iterdir()
    assert look(RunFolder(run)).status == "finished"
    assert not any((folder / "elsewhere").iterdir())


def test_a_verdict_can_fail_the_process_at_the_end_or_at_once(folder: Path) -> None:
    healthy = vgrad("--fail-on", "exploding,non-finite", "train.py", "0.01", cwd=folder)
    assert (healthy.returncode, healthy.stdout, healthy.stderr) == (0, "steps 80\n", "")
    broken = vgrad("--fail-on", "exploding,non-finite", "train.py", "1e8", cwd=folder)
    assert (broken.returncode, broken.stdout) == (3, "steps 80\n")
    assert broken.stderr.startswith("vgrad: non-finite: ") and "exit code 3" in broken.stderr
    at_once = vgrad("--fail-on", "exploding,non-finite", "--fail-now", "train.py", "1e8", cwd=folder)
    assert (at_once.returncode, at_once.stdout) == (3, "")
    assert "vgrad: " in at_once.stderr and "Traceback" not in at_once.stderr


def test_the_scripts_own_failure_wins(folder: Path) -> None:
    (folder / "train.py").write_text(TRAINS + "sys.exit(9)\n")
    failed = vgrad("--fail-on", "non-finite,exploding", "train.py", "1e8", cwd=folder)
    assert (failed.returncode, failed.stderr) == (9, "")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(("flags", "stdout"), [("--fail-on", "steps 80\n"), ("--fail-now --fail-on", "")])
def test_a_verdict_fails_the_process_where_stderr_cannot_be_written(
    folder: Path, flags: str, stdout: str, redirect: str
) -> None:
    command = f"{sys.executable} -m vgrad {flags} non-finite,exploding train.py 1e8 {redirect}"
    done = subprocess.run(
        command, shell=True, cwd=folder, timeout=300, check=False, stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (3, stdout)


def test_a_control_acts_from_the_first_step_on(folder: Path) -> None:
    (folder / "train.py").write_text(
        TRAINS.replace(
            "optimizer.step()", "optimizer.step(); norms.append(model[0].weight.grad.norm().item())"
        )
        .replace("import sys", "import sys; norms = []")
        .replace('print("steps"', 'print(max(norms) <= 0.01 + 1e-6, "steps"')
    )
    assert vgrad("train.py", "0.01", cwd=folder).stdout == "False steps 80\n"
    assert vgrad("--clip", "norm:0.01", "train.py", "0.01", cwd=folder).stdout == "True steps 80\n"


def test_without_torch_nothing_of_ours_is_loaded_but_what_starts_the_script(folder: Path) -> None:
    (folder / "idle.py").write_text(
        "import sys; print(*sorted(m for m in sys.modules if m.startswith(('vgrad.', 'torch', 'numpy'))))\n"
    )
    loaded = set(vgrad("idle.py", cwd=folder).stdout.split())
    assert loaded == {
        "vgrad.errors", "vgrad.ranks", "vgrad.ranks.group", "vgrad.run",
        "vgrad.run.after_import", "vgrad.run.child_processes", "vgrad.run.first_training",
        "vgrad.run.main_module", "vgrad.run.script", "vgrad.run.script_options", "vgrad.run.torchrun",
        "vgrad.run.watched_script",
    }  # fmt: skip


def test_a_script_runs_on_when_something_of_ours_breaks(folder: Path) -> None:
    for broken in ("vgrad.watching.watch", "vgrad.watching.discover", "vgrad.run.recording"):
        text = TRAINS.replace("import torch\n", f"sys.modules['{broken}'] = None\nimport torch\n", 1)
        (folder / "train.py").write_text(text)
        done = vgrad("--summary", "s.json", "train.py", "0.01", cwd=folder)
        assert (done.returncode, done.stdout) == (0, "steps 80\n")
        assert broken in done.stderr, "the log says why"


def test_a_forked_child_that_ends_by_itself_writes_no_summary(folder: Path) -> None:
    (folder / "train.py").write_text(
        TRAINS
        + "import os, warnings\n"
        + "warnings.simplefilter('ignore', DeprecationWarning)  # of threads, from Python 3.12 on\n"
        + "child = os.fork()\n"
        + "if child: print(os.waitpid(child, 0)[1])\n"
    )
    done = vgrad("--summary", "s.json", "train.py", "0.01", cwd=folder, PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "steps 80\n0\n", "")
    assert json.loads((folder / "s.json").read_text())["steps"] == 80


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "give a script"),
        (["--fail-on", "happy", "train.py"], "happy"),
        (["--fail-now", "train.py"], "--fail-on"),
        (["--clip", "nonsense", "train.py"], "nonsense"),
        (["--optimizer", "adam", "train.py"], "own training loop"),
        (["--no-such", "1", "train.py"], "no option --no-such; .*behind"),
        (["--fail-nwo", "train.py"], "did you mean '--fail-now'"),
        (["-x", "train.py"], "-x"),
        (["--summary"], "--summary needs"),
        (["-m"], "-m needs"),
    ],
    ids=str,
)
def test_bad_usage_is_refused_in_words(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_script_options(argv)


def test_what_stands_behind_the_script_is_the_scripts_own() -> None:
    options = read_script_options(["--clip=norm:1", "--name", "x", "train.py", "--name", "y", "-m", "--help"])
    assert (options.script, options.name, options.is_module) == ("train.py", "x", False)
    assert options.arguments == ("--name", "y", "-m", "--help")
    module = read_script_options(["-m", "pack.train", "--fail-now"])
    assert (module.script, module.is_module, module.arguments) == ("pack.train", True, ("--fail-now",))


FAILS_IN_TORCH = """
import torch
from torch import nn

class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(context, inputs):
        return inputs.clone()

    @staticmethod
    def backward(context, grad):
        raise ValueError("in backward")

def fail():
    raise ValueError("in a closure")

try:
    torch.optim.SGD([], lr=0.1)
except ValueError:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    try:
        optimizer.step(fail)
    except ValueError:
        model.weight.grad.fill_(float("inf"))
        try:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        except RuntimeError:
            try:
                torch.amp.GradScaler("cpu").scale(1)
            except ValueError:
                FailsBackward.apply(model(torch.ones(1, 2)).sum()).backward()
"""

PRINTS_ITS_TRACEBACKS = """
import logging, sys, threading, traceback
import torch
from torch import nn

def fail():
    raise ValueError("in a closure")

def generator():
    yield torch.ones(1)
    raise OSError("in a generator")

model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
failing = [
    torch.ones(1).backward,
    lambda: torch.optim.SGD([], lr=0.1),
    lambda: optimizer.step(fail),
    lambda: torch.optim.LBFGS(model.parameters()).step(fail),
    lambda: nn.utils.clip_grad_norm_(generator(), 1.0),
    lambda: torch.amp.GradScaler("cpu").scale(1),
]
for each in failing:
    try:
        each()
    except Exception as error:
        print(traceback.format_exc(), "".join(traceback.format_exception(error)))
        logging.exception("caught")
    thread = threading.Thread(target=each, name="fails")
    thread.start()
    thread.join()
sys.exit("the end")
"""


@pytest.mark.parametrize("script", [FAILS_IN_TORCH, PRINTS_ITS_TRACEBACKS], ids=["uncaught", "caught"])
def test_a_traceback_shows_nothing_of_what_stands_in_for_functions_of_torch(
    tmp_path: Path, script: str
) -> None:
    path = tmp_path / "fails.py"
    path.write_text(script)
    bare = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert bare.returncode == 1 and bare.stderr.count("Traceback") >= 5, bare.stderr
    watched = vgrad(str(path), cwd=tmp_path)
    assert (watched.returncode, watched.stdout, watched.stderr) == (1, bare.stdout, bare.stderr)
