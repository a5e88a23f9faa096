"""A process that was started without vgrad is watched, steered and released, and its training goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import RequireTool
from tests.e2e.attached_shapes import SHAPES, Training
from tests.e2e.command_line import vgrad_tui
from tests.soak import times
from tests.waiting import until

from vgrad.errors import ConfigError
from vgrad.run.attach_pid import attach_process, folder_of, release_process
from vgrad.store.folder import RunFolder
from vgrad.store.listing import look

NEEDS_GDB = sys.version_info < (3, 14)
LEAVING = "from vgrad_tui.cli import main; main()"


def require_gdb(require_tool: RequireTool) -> None:
    """What takes us into a process of Python before 3.14."""
    if NEEDS_GDB:
        require_tool("gdb")


@pytest.fixture
def training(tmp_path: Path, require_tool: RequireTool) -> Iterator[Training]:
    require_gdb(require_tool)
    training = Training(tmp_path / "plain", "plain")
    yield training
    training.kill()


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(times(1, 9)))
@pytest.mark.parametrize("shape", SHAPES)
def test_watching_changes_no_bit_and_what_was_steered_ends_with_it(
    shape: str, turn: int, tmp_path: Path, require_tool: RequireTool
) -> None:
    require_gdb(require_tool)
    training = Training(tmp_path / "watched", shape)
    try:
        folder = attach_process(training.process.pid)
        until(lambda: look(folder).step > 20)
        release_process(folder)
        marked = training.mark()
        assert (marked.num_hooks, marked.home) == (0, "torch.autograd")
        bare = Training(tmp_path / "bare", shape, steps=marked.step).wait()
        assert bare.bits == marked.bits

        folder = attach_process(training.process.pid)
        for command in (("clip", "norm:1e-4"), ("lr_scale", "0.5")):
            sent = vgrad_tui("send", folder.name, *command)
            # Optimizers of one parameter each never have all gradients together.
            can_do = command[0] != "clip" or shape != "in_backward"
            assert sent.returncode == (0 if can_do else 4), sent.stderr
        release_process(folder)
        ended = training.end()
        assert ended.step > marked.step
        assert (ended.num_hooks, ended.home, ended.lr) == (0, "torch.autograd", bare.lr)
    finally:
        training.kill()


def test_the_commands_find_watch_and_release_a_process(training: Training) -> None:
    assert training.pid in vgrad_tui("attach", "--list").stdout
    attached = vgrad_tui("attach", training.pid)
    assert attached.returncode == 0, attached.stderr
    name = attached.stdout.strip()
    assert vgrad_tui("attach", training.pid).stdout.strip() == name, "it is watched already"
    assert f"[watched: {name}]" in vgrad_tui("attach", "--list").stdout
    released = vgrad_tui("release", name)
    assert released.returncode == 0, released.stderr
    assert folder_of(training.process.pid) is None
    said = vgrad_tui("tail", name).stdout
    assert "done: released: its process goes on without being watched" in said.splitlines()[-1]
    again = vgrad_tui("release", name)
    assert again.returncode == 2 and "is not alive" in again.stderr
    training.end()


def test_a_step_that_is_late_is_waited_for(training: Training) -> None:
    (training.folder / "evaluate").touch()
    until((training.folder / "evaluating").exists)
    attaching = subprocess.Popen(
        [sys.executable, "-c", LEAVING, "attach", training.pid],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with attaching:
        assert attaching.stderr is not None
        assert "waiting for the next training step" in attaching.stderr.readline()
        (training.folder / "evaluate").unlink()
        name, _ = attaching.communicate(timeout=120)
        assert attaching.returncode == 0
    release_process(RunFolder.find(name.strip()))
    assert training.end().num_hooks == 0


@pytest.mark.soak
@pytest.mark.parametrize("part", np.linspace(0, 1, times(3, 50)))
def test_killing_attach_at_any_moment_leaves_the_training_alone(training: Training, part: float) -> None:
    attaching = subprocess.Popen(
        [sys.executable, "-c", LEAVING, "attach", training.pid], stdout=subprocess.DEVNULL
    )
    status = Path(f"/proc/{training.pid}/status")
    until(lambda: "TracerPid:\t0" not in status.read_text() or attaching.poll() is not None)
    time.sleep(0.6 * part)  # gdb holds it about half a second
    attaching.kill()
    attaching.wait()
    until(lambda: "TracerPid:\t0\n" in status.read_text())
    assert "State:\tT" not in status.read_text()
    training.end()


def test_it_needs_nothing_but_torch_and_numpy_there(tmp_path: Path, require_tool: RequireTool) -> None:
    require_gdb(require_tool)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = tmp_path / "packages"
    packages.mkdir()
    installed = Path(torch.__file__).parents[1]
    needed = ("torch", "torchgen", "functorch", "numpy", "numpy.libs", "typing_extensions.py", "sympy")
    for name in (*needed, "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec"):
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    [site] = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "only.pth").write_text(f"{packages}\n")
    training = Training(tmp_path / "there", "plain", python=tmp_path / "venv/bin/python")
    try:
        folder = attach_process(training.process.pid)
        sent = vgrad_tui("send", folder.name, "clip", "norm:0.5")
        assert sent.returncode == 0, sent.stderr
        release_process(folder)
        training.end()
    finally:
        training.kill()
    modules = (training.folder / "modules").read_text().split()
    assert "vgrad" in modules
    assert not {"pydantic", "pydantic_core", "textual", "click", "plotext", "vgrad_tui"} & set(modules)


def test_what_cannot_be_attached_to_is_refused_with_what_to_do(require_tool: RequireTool) -> None:
    require_gdb(require_tool)
    missing = vgrad_tui("attach", "4194999")
    assert (
        missing.returncode == 2 and "there is no process 4194999: vgrad-tui attach --list" in missing.stderr
    )
    with pytest.raises(ConfigError, match="is this very program"):
        attach_process(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as other:
        with pytest.raises(ConfigError, match="is not Python"):
            attach_process(other.pid)
        other.kill()
        until(lambda: "State:\tZ" in Path(f"/proc/{other.pid}/status").read_text())
        with pytest.raises(ConfigError, match="has ended"):
            attach_process(other.pid)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle:
        until(lambda: "python" in Path(f"/proc/{idle.pid}/maps").read_text())
        with pytest.raises(ConfigError, match="has not loaded torch"):
            attach_process(idle.pid)
        idle.kill()


def test_a_stopped_process_and_a_missing_gdb_are_named(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(training.process.pid, signal.SIGSTOP)
    until(lambda: "State:\tT" in Path(f"/proc/{training.pid}/status").read_text())
    with pytest.raises(ConfigError, match=f"is stopped: continue it with kill -CONT {training.pid}"):
        attach_process(training.process.pid)
    os.kill(training.process.pid, signal.SIGCONT)
    with monkeypatch.context() as without:
        without.setenv("PATH", "/nowhere")
        if NEEDS_GDB:
            with pytest.raises(ConfigError, match="apt install gdb; or vgrad-tui watch SCRIPT"):
                attach_process(training.process.pid)
        else:
            release_process(attach_process(training.process.pid))
    training.end()


def test_without_the_right_to_trace_it_says_so(training: Training, require_tool: RequireTool) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give up the right to trace")
    setpriv = require_tool("setpriv")
    weak = [setpriv, "--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace", sys.executable, "-c", LEAVING]
    refused = subprocess.run([*weak, "attach", training.pid], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "is not permitted" in refused.stderr and "--cap-add=SYS_PTRACE" in refused.stderr
    other = f"""
import os
from vgrad.errors import ConfigError
from vgrad.run.target_process import find_target
os.setuid(65534)
try:
    find_target({training.pid})
except ConfigError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True).stdout
    assert "belongs to root: attach as that user, with sudo -u" in said
    training.end()


def test_a_main_thread_that_runs_no_python_is_left_alone(require_tool: RequireTool) -> None:
    require_gdb(require_tool)
    # Of all at the same time, as each is waited for for 5 s.
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(require_left_alone, call) for call in BLOCKS]:
            done.result()


BLOCKS = ("libc.sleep(100)", "signal.pause()", "thread.join()")


def require_left_alone(call: str) -> None:
    code = f"""
import ctypes, signal, threading, torch
libc = ctypes.CDLL(None)
thread = threading.Thread(target=lambda: libc.sleep(100), daemon=True)
thread.start()
print("go", flush=True)
{call}
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as blocked:
        assert blocked.stdout is not None and blocked.stdout.readline() == "go\n"
        with pytest.raises(ConfigError, match="has run no Python for 5 s"):
            attach_process(blocked.pid)
        assert folder_of(blocked.pid) is None
        blocked.send_signal(signal.SIGKILL)
