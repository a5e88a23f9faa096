"""Screens on a run of another process: they come, steer, are killed, and leave, and the run goes on."""

from __future__ import annotations

import re
import signal

import pytest
from tests.e2e.command_line import vgrad_tui
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.engine.store.recorded import record, story
from tests.waiting import until

from vgrad.store.folder import RunFolder
from vgrad.store.listing import look


def attach(folder: RunFolder, *, columns: int = 120, lines: int = 36) -> Terminal:
    return Terminal([VGRAD_TUI, "attach", folder.name], columns=columns, lines=lines)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 36)])
def test_a_screen_shows_the_history_steers_and_leaves_it_running(
    run: RunFolder, columns: int, lines: int
) -> None:
    until(lambda: look(run).step > 100)
    with attach(run, columns=columns, lines=lines) as terminal:
        screen = terminal.wait_for(r"● training +step [\d,]+")
        assert int(re.search(r"step ([\d,]+)", screen)[1].replace(",", "")) > 100  # type: ignore[index]
        terminal.press("c")
        terminal.wait_for(r"clip +norm 1  @ [\d,]+")
        terminal.press("q")
        terminal.wait_for(f"it runs on: vgrad-tui attach {run.name}")
        assert terminal.wait() == 0
    before = look(run)
    assert before.status == "alive"
    until(lambda: look(run).step > before.step)
    assert "clip norm 1" in vgrad_tui("tail", run.name).stdout


def test_two_screens_see_what_either_of_them_asks_for(run: RunFolder) -> None:
    with attach(run) as one, attach(run) as other:
        one.wait_for("● training")
        other.wait_for("● training")
        one.press("c")
        other.wait_for(r"clip +norm 1  @ [\d,]+")
        other.press("c")
        one.wait_for(r"clip +off  @ [\d,]+")
        one.press("=")  # both at once want opposite things: the last one is done, and both show that
        other.press("-")
        changes = r"lr +[\d.e-]+ × (?:2|0\.5) = "
        for screen in (one, other):
            screen.press("j")
            screen.wait_for(r"(?s)lr × [\d.]+  @ [\d,]+  by \S+@here.*lr × [\d.]+  @ [\d,]+  by \S+@here")
            screen.press("\x1b")
            screen.wait_for(changes)
        # A frame may be half written when it is looked at.
        until(lambda: re.findall(changes, one.text()) == re.findall(changes, other.text()) != [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_screen_that_is_killed_costs_the_run_nothing(run: RunFolder, number: signal.Signals) -> None:
    with attach(run) as terminal:
        terminal.wait_for("● training")
        terminal.signal(number)
        terminal.wait()
    before = look(run)
    assert before.status == "alive"
    until(lambda: look(run).step > before.step)


def test_ending_the_run_is_asked_about_and_the_screen_shows_how_it_ended(run: RunFolder) -> None:
    with attach(run) as terminal:
        terminal.wait_for("● training")
        terminal.press("Q")
        terminal.wait_for("End it")
        terminal.press("y")
        terminal.wait_for("stopped")
        until(lambda: run.pid() is None)
        terminal.press("q")
        assert terminal.wait() == 0
    with attach(run) as terminal:  # a run that has ended opens as well
        terminal.wait_for("stopped")
        terminal.press("q")
        assert terminal.wait() == 0


def test_what_is_read_is_on_the_terminal_before_it_is_read() -> None:
    folder = record(RunFolder.create("ended"), 300, ("a", "b"), bodies=story(300))
    with attach(folder) as terminal:
        terminal.keep_raw = True
        terminal.wait_for("step 300")
        words = f"reading the record of  {folder.name}  (".encode()
        assert -1 < terminal.raw.find(words) < terminal.raw.find(b"made-up")
        terminal.press("q")
        assert terminal.wait() == 0


def test_attach_without_a_run_says_what_to_do() -> None:
    with Terminal([VGRAD_TUI, "attach"], columns=80, lines=24) as terminal:
        terminal.wait_for("no run is alive")
        assert terminal.wait() == 2


def test_where_several_runs_are_alive_one_is_chosen_from_a_list(run: RunFolder) -> None:
    other = record(RunFolder.create("another"), 50, ("a",))
    other.lock()  # this process counts as the one that trains it
    try:
        with Terminal([VGRAD_TUI, "attach"], columns=100, lines=30) as terminal:
            terminal.wait_for("attach to")
            text = terminal.wait_for(r"another-\S+  step 50")
            [number] = re.findall(rf"^ *(\d)  {run.name}", text, flags=re.MULTILINE)
            terminal.press("p\r")
            terminal.wait_for("Error: type a number from 1 to 2")
            terminal.press(f"{number}\r")
            terminal.wait_for("● training")
            terminal.press("q")
            assert terminal.wait() == 0
    finally:
        other.unlock()
