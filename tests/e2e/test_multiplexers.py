"""Screens on a run of another process inside tmux and GNU screen: suspended, resumed, resized, and left."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator

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
