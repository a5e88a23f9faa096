"""Screens on a run of another process inside tmux, GNU screen and mosh: suspended, resumed, resized, left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.conftest import RequireTool
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.folder import RunFolder
from vgrad.store.listing import look

PATIENCE_S = 120.0

Tmux = Callable[..., str]


@pytest.fixture
def tmux(require_tool: RequireTool) -> Iterator[Tmux]:
    """Runs a command of a tmux server of our own, in which a shell waits at a prompt."""
    program = require_tool("tmux")
    socket = f"vgrad-test-{os.getpid()}-{time.monotonic_ns()}"

    def command(*arguments: str) -> str:
        words = [program, "-L", socket, "-u", *arguments]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    command("new-session", "-d", "-x", "100", "-y", "30", "env PS1='ready> ' bash --norc --noprofile")
    yield command
    command("kill-server")


def shows(tmux: Tmux, pattern: str) -> str:
    """Wait until the pane shows something, and return what it shows."""
    deadline = time.monotonic() + PATIENCE_S
    while not re.search(pattern, screen := tmux("capture-pane", "-p")):
        assert time.monotonic() < deadline, f"{pattern!r} never came:\n{screen}"
        time.sleep(0.05)
    return screen


def test_ctrl_z_leaves_the_shell_and_fg_comes_back_while_the_run_goes_on(run: RunFolder, tmux: Tmux) -> None:
    shows(tmux, r"ready>")
    tmux("send-keys", f"{VGRAD_TUI} attach {run.name}", "Enter")
    shows(tmux, "● training")
    tmux("send-keys", "C-z")
    shows(tmux, r"Stopped(.|\n)*ready>")
    before = look(run).step
    until(lambda: look(run).step > before + 20)
    tmux("send-keys", "clear", "Enter")
    tmux("send-keys", "fg", "Enter")
    shows(tmux, "● training")
    tmux("resize-window", "-x", "140", "-y", "40")
    tmux("send-keys", "c")
    screen = shows(tmux, r"clip +norm 1  @ [\d,]+")
    assert max(map(len, screen.splitlines())) > 100, "it has the new width"
    tmux("send-keys", "q")
    shows(tmux, r"ready> *\n")
    assert look(run).status == "alive"


def test_in_gnu_screen_it_is_detached_and_found_again(run: RunFolder, require_tool: RequireTool) -> None:
    program = require_tool("screen")
    session = f"vgrad-test-{os.getpid()}"
    command = [program, "-U", "-S", session, VGRAD_TUI, "attach", run.name]
    try:
        with Terminal(command, columns=100, lines=30) as terminal:
            terminal.wait_for("● training")
            terminal.press("\x01d")  # screen's own key to detach
            terminal.wait()
        before = look(run).step
        until(lambda: look(run).step > before)
        with Terminal([program, "-U", "-r", session], columns=120, lines=36) as terminal:
            terminal.wait_for("● training")
            terminal.press("c")
            terminal.wait_for(r"clip +norm 1  @ [\d,]+")
            terminal.press("q")
            terminal.wait()
    finally:
        subprocess.run([program, "-S", session, "-X", "quit"], check=False, capture_output=True)
    assert look(run).status == "alive"


def mosh(require_tool: RequireTool, run: RunFolder) -> tuple[list[str], dict[str, str], int]:
    """A mosh server with a screen on the run: the client's command, its environment, the server's process."""
    settings = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    started = subprocess.run(
        [require_tool("mosh-server"), "new", "-i", "127.0.0.1", "--", VGRAD_TUI, "attach", run.name],
        env=os.environ | settings, capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    said = started.stdout + started.stderr
    connect, detached = re.search(r"MOSH CONNECT (\d+) (\S+)", said), re.search(r"pid = (\d+)", said)
    assert connect and detached, said
    client = [require_tool("mosh-client"), "127.0.0.1", connect[1]]
    return client, {**settings, "MOSH_KEY": connect[2]}, int(detached[1])


def test_over_mosh_the_screen_is_there_steers_and_leaves(run: RunFolder, require_tool: RequireTool) -> None:
    client, environ, server = mosh(require_tool, run)
    try:
        with Terminal(client, columns=120, lines=36, environ=environ) as terminal:
            terminal.wait_for("● training")
            terminal.press("c")
            terminal.wait_for(r"clip +norm 1  @ [\d,]+")
            terminal.resize(80, 24)
            terminal.press("c")
            terminal.wait_for(r"clip +off  @ [\d,]+")
            terminal.press("q")
            terminal.wait()
    finally:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)
    assert look(run).status == "alive"
