"""A screen that trains itself is left, on purpose or by a dropped line, and the run goes on bit for bit."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.command_line import SMALL, vgrad_tui
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.checkpoints import checkpoints_of
from vgrad.store.folder import RunFolder, all_runs
from vgrad.store.listing import look
from vgrad.store.run_record import RunRecord

STEPS = 3000
"""So many that the run is still on its way when the keys have been pressed."""
LEAVING_S = 180.0
"""Leaving starts a process that imports torch, on a machine that may be doing the same for others."""


def losses(folder: RunFolder) -> dict[int, float]:
    record = RunRecord.read(folder)
    return dict(zip(record.steps.tolist(), record.losses.tolist(), strict=True))


def open_run(*arguments: str) -> Terminal:
    return Terminal(
        [VGRAD_TUI, "run", "charlm-rnn", *SMALL, "--steps", str(STEPS), *arguments], columns=160, lines=36
    )


def keep_hanging_up(terminal: Terminal) -> None:
    """Say again and again that the line has dropped, also while the run is saved and started again."""
    with suppress(ProcessLookupError):
        while terminal.exit_code is None:
            terminal.signal(signal.SIGHUP)
            time.sleep(0.01)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of the run that nobody has left, by step."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VGRAD_HOME", str(tmp_path_factory.mktemp("straight")))
        patched.setenv("CUDA_VISIBLE_DEVICES", "")
        ended = vgrad_tui("run", "charlm-rnn", *SMALL, "--steps", str(STEPS), "--headless")
        assert ended.returncode == 0, ended.stderr
        [whole] = all_runs()
        return losses(whole)


def require_uninterrupted(old: RunFolder, new: RunFolder, straight: dict[int, float]) -> None:
    """Both together are the run that nobody has left."""
    until(lambda: look(new).status == "finished")
    record = RunRecord.read(new)
    assert record.info.parent is not None and record.info.parent.run == old.name
    assert losses(old).keys() & losses(new).keys() == set()
    assert losses(old) | losses(new) == straight


def test_d_leaves_the_run_to_a_process_of_its_own(straight: dict[int, float]) -> None:
    with open_run() as terminal:
        terminal.wait_for("● training")
        terminal.press(" ")  # or it could come to its end while the dialog is looked at, on a busy machine
        terminal.wait_for("‖ paused")
        terminal.press("q")
        terminal.wait_for("Quit. Its state is saved")
        terminal.press("n")
        terminal.wait_until_gone("Its state is saved")
        terminal.press(" d")
        assert terminal.wait(LEAVING_S) == 0
        screen = terminal.wait_for("training goes on in a process of its own")
        assert "leaving it running" in screen, "said at once: the start of a process takes some seconds"
        name = re.search(r"vgrad-tui attach ([a-z]+-[a-z]+-\d{4}-\d{6})", screen)[1]  # type: ignore[index]
    new = RunFolder.find(name)
    [old] = [folder for folder in all_runs() if folder.name != name]
    require_uninterrupted(old, new, straight)


@pytest.mark.parametrize("how", ["signal", "signals without end", "hang-up"])
def test_a_dropped_line_does_the_same(how: str, straight: dict[int, float]) -> None:
    with open_run() as terminal:
        terminal.wait_for("● training")
        [old] = all_runs()
        if how == "hang-up":
            terminal.hang_up()
        else:
            terminal.signal(signal.SIGHUP)
        if how == "signals without end":
            threading.Thread(target=keep_hanging_up, args=(terminal,)).start()
        assert terminal.wait(LEAVING_S) == 130
    [new] = [folder for folder in all_runs() if folder.name != old.name]
    require_uninterrupted(old, new, straight)


def test_a_line_that_drops_before_training_begins_leaves_the_run_to_a_process_of_its_own() -> None:
    with open_run() as terminal:
        terminal.wait_for("importing torch")
        terminal.signal(signal.SIGHUP)
        assert terminal.wait(LEAVING_S) == 130
    [old] = [folder for folder in all_runs() if look(folder).status == "stopped"]
    [new] = [folder for folder in all_runs() if folder.name != old.name]
    until(lambda: look(new).status == "finished")
    assert look(old).step == 0
    assert look(new).step == STEPS


BROKEN_SCREEN = """
import sys
from vgrad_tui.app.app import VgradApp
from vgrad_tui.cli import main

def broken(app):
    raise RuntimeError("drawn wrongly")

VgradApp.action_journal = broken
main()
"""


def test_a_screen_that_fails_leaves_the_run_to_a_process_of_its_own(straight: dict[int, float]) -> None:
    command = [sys.executable, "-c", BROKEN_SCREEN, "run", "charlm-rnn", *SMALL, "--steps", str(STEPS)]
    with Terminal(command, columns=160, lines=50) as terminal:
        terminal.wait_for("● training")
        [old] = all_runs()
        terminal.press("j")
        assert terminal.wait(LEAVING_S) == 1
        screen = terminal.text()
        assert "drawn wrongly" in screen and "the screen has failed" in screen
        assert "training goes on in a process of its own" in screen
    [new] = [folder for folder in all_runs() if folder.name != old.name]
    require_uninterrupted(old, new, straight)


def test_a_run_that_is_not_recorded_cannot_be_left_and_says_so(own_home: Path) -> None:
    with open_run("--no-record") as terminal:
        terminal.wait_for("● training")
        terminal.press("d")
        terminal.wait_for("not recorded, so it cannot go on")
        terminal.signal(signal.SIGHUP)
        assert terminal.wait() == 130
    assert not (own_home / "runs").exists()


def step_until(screen: Terminal, run: RunFolder, step: int) -> None:
    """Press the key for a single step until the run has got there: the screen may still be on its way."""
    deadline = time.monotonic() + 60
    while look(run.newest()).step < step:
        assert time.monotonic() < deadline, screen.text()
        screen.press(".")
        pressed_s = time.monotonic()
        while look(run.newest()).step < step and time.monotonic() < pressed_s + 1:
            time.sleep(0.02)


def test_a_key_rewinds_to_a_checkpoint_on_this_screen_and_on_one_that_is_attached() -> None:
    with open_run("--eval-every", "0") as terminal:
        terminal.wait_for("● training")
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        [old] = all_runs()
        with Terminal([VGRAD_TUI, "attach", old.name], columns=160, lines=36) as other:
            other.wait_for("‖ paused")
            terminal.press("b")
            terminal.wait_for("Rewind to which step")
            terminal.wait_for("step 0")
            terminal.press("\r")
            until(lambda: old.newest() != old)
            for screen, step in ((terminal, 1), (other, 2)):
                step_until(screen, old, step)
            other.press("q")
            assert other.wait() == 0
    record = RunRecord.read(next(folder for folder in all_runs() if folder.name != old.name))
    assert record.info.parent is not None and record.info.parent.step == 0
    assert [record.loss_of(step) for step in (1, 2)] == [RunRecord.read(old).loss_of(step) for step in (1, 2)]


def test_sigterm_under_the_screen_leaves_a_checkpoint_and_says_how_to_go_on() -> None:
    with open_run() as terminal:
        terminal.wait_for("● training")
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == 130
        [old] = all_runs()
        terminal.wait_for(rf"to go on: vgrad-tui run --resume {old.name}")
    assert look(old).status == "stopped"
    assert checkpoints_of(old)[-1].step == look(old).step
