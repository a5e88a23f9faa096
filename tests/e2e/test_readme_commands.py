"""The commands of the README's sections on SSH and scripts do, in their order, what stands beside them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.command_line import SMALL, vgrad_tui
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.listing import look

README = Path(__file__).parents[2] / "README.md"


def commands(section: str) -> list[str]:
    text = README.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2]
    return re.findall(r"^    vgrad-tui (.+?)(?:  .*)?$", text.partition("\n## ")[0], flags=re.MULTILINE)


def alive() -> RunFolder | None:
    return next((folder for folder in all_runs() if folder.pid() is not None), None)


def wait_for_steps(folder: RunFolder) -> None:
    until(lambda: folder.database.exists() and look(folder).step > 20)


def successor(folder: RunFolder) -> RunFolder:
    until(lambda: folder.newest() != folder)
    return folder.newest()


def look_at_the_screen(args: list[str], shown: str) -> None:
    with Terminal([VGRAD_TUI, *args], columns=120, lines=36) as terminal:
        terminal.wait_for(shown)
        terminal.press("q")
        assert terminal.wait() == 0


def follow(args: list[str]) -> None:
    command = [sys.executable, "-c", "from vgrad_tui.cli import main; main()", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "started on" in "".join(process.stdout.readline() for _ in range(3))
        process.kill()


def require_what_is_promised(args: list[str], done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, (args, done.stderr)
    if args[0] == "verify":
        assert done.stdout.startswith("identical for ")
    if "--json" in args:
        assert json.loads(done.stdout.splitlines()[0] if args[0] != "runs" else done.stdout)
    if args[-1] == "stop":
        until(lambda: alive() is None)


@pytest.mark.parametrize(
    ("section", "needed"),
    [
        ("Over SSH", {"run", "attach", "runs", "tail", "replay"}),
        ("From scripts", {"run", "runs", "tail", "send", "verify", "export"}),
    ],
)
def test_each_of_them_in_turn(section: str, needed: set[str]) -> None:
    run: RunFolder | None = None
    tried = []
    for line in commands(section):
        args = shlex.split(line)
        tried.append(args[0])
        if run is not None:
            args = [run.name if word == "RUN" else word for word in args]
        match args:
            case ["run", _, "--detach"]:
                done = vgrad_tui(*args, *SMALL)
                run = RunFolder.find(done.stdout.splitlines()[-1])
                wait_for_steps(run)
            case ["attach", *_]:
                look_at_the_screen(args, "● training")
                continue
            case ["replay", *_]:
                assert run is not None
                assert vgrad_tui("send", run.name, "stop").returncode == 0
                until(lambda: alive() is None)
                look_at_the_screen(args, "▷ recording")
                continue
            case ["tail", *_, "--follow"]:
                follow(args)
                continue
            case ["send", _, "rewind", _]:
                done = vgrad_tui(*args[:-1], "12")
                assert run is not None
                run = successor(run)
                wait_for_steps(run)
            case ["run", "--resume", name, "--steps", _]:
                steps = look(RunFolder.find(name)).step + 9
                done = vgrad_tui(*args[:-1], str(steps), "--headless")
            case _:
                done = vgrad_tui(*args)
        require_what_is_promised(args, done)
    assert needed <= set(tried)
    assert run is not None and run.path.exists() == (section == "Over SSH")
