"""The program as a user starts it: a real terminal, a real training thread."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tests.e2e.terminal import VGRAD_TUI, Terminal
from tests.waiting import until

from vgrad.store.folder import all_runs
from vgrad.store.listing import look

SMALL = ("charlm-rnn", "--set", "hidden=32", "--set", "seq_len=16", "--batch-size", "4", "--eval-every", "50")


def open_run(*arguments: str | Path, columns: int = 120, lines: int = 36, **environ: str) -> Terminal:
    return Terminal([VGRAD_TUI, "run", *arguments], columns=columns, lines=lines, environ=environ)


def number_after(words: str, screen: str) -> int:
    found = re.search(words + r" ([\d,]+)", screen)
    assert found, screen
    return int(found[1].replace(",", ""))


def test_press_c_see_it_applied_marked_and_judged_then_quit(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    with open_run(*SMALL, "--summary", summary) as terminal:
        assert "importing torch" in terminal.wait_for("importing torch")
        terminal.wait_for("● training")
        terminal.wait_for(r"step \d{3}|step \d,")
        terminal.press("c")
        screen = terminal.wait_for(r"clip +norm 1  @ [\d,]+")
        step = number_after("norm 1  @", screen)
        assert step > 0
        terminal.wait_for("╎.*clip norm 1|clip norm 1.*╎")  # the marker in the chart
        terminal.wait_for(r"clip norm 1: .*loss")
        terminal.press("a")
        terminal.wait_for(r"accumulate +2  @ [\d,]+")
        terminal.press("q")
        terminal.wait_for("Quit")
        terminal.press("y")
        assert terminal.wait() == 0
        assert "charlm-rnn, seed 0: stopped" in terminal.text()
    written = json.loads(summary.read_text())
    applied = {"step": step, "version": 1, "command": "set", "control": "clip", "value": "norm:1.0"}
    assert applied in written["commands"]
    assert written["steps"] >= step


def test_a_screen_that_fails_says_why_on_the_restored_terminal_and_its_exit_code_is_one() -> None:
    broken = (
        "from vgrad_tui.widgets.loss_pane import LossPane; from vgrad_tui.cli import main\n"
        "LossPane.update = lambda self, state: 1 / state.step if state.step < 5 else 1 / 0\n"
        f"main(['run', '--no-record', *{SMALL!r}])"
    )
    with Terminal([sys.executable, "-c", broken], columns=120, lines=36) as terminal:
        assert terminal.wait() == 1
        assert "ZeroDivisionError" in terminal.text()


def test_pause_holds_the_step_and_a_single_step_moves_it_by_one() -> None:
    with open_run(*SMALL) as terminal:
        terminal.wait_for("● training")
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        terminal.wait_until_quiet()
        step = number_after("step", terminal.text())
        terminal.press(".")
        terminal.wait_for(rf"step {step + 1:,}\b")
        terminal.press(" ")
        terminal.wait_for("● training")


def test_the_end_stays_on_the_screen_with_the_result() -> None:
    with open_run(*SMALL, "--steps", "60", columns=80, lines=24) as terminal:
        terminal.wait_for("DONE after 60 steps")
        terminal.wait_for("rnn.weight_hh_l0")
        terminal.press("q")
        assert terminal.wait() == 0


def test_a_paused_screen_writes_nothing() -> None:
    with open_run(*SMALL) as terminal:
        terminal.wait_for("● training")
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        terminal.wait_until_quiet(2.0)


def test_a_stalled_terminal_stops_neither_training_nor_the_program() -> None:
    """Frames are dropped, never queued: what is written after a stall is bounded, and up to date."""
    with open_run(*SMALL) as terminal:
        terminal.wait_for("● training")
        terminal.wait_for(r"step \d{3}|step \d,")
        before = number_after("step", terminal.text())
        [run] = all_runs()
        terminal.is_stalled = True
        until(lambda: look(run).step > before + 200)
        written = terminal.num_bytes
        terminal.is_stalled = False
        until(lambda: number_after("step", terminal.text()) > before + 200, shown=terminal.text)
        # What the pseudo-terminal itself holds, a frame or two under way, and one whole screen.
        assert terminal.num_bytes - written < 100_000
        terminal.press("c")
        terminal.wait_for(r"clip +norm 1  @ [\d,]+")


def test_resizing_mid_run_draws_the_new_size_and_loses_nothing() -> None:
    # Shells that export their size must not freeze ours.
    with open_run(*SMALL, COLUMNS="77", LINES="20") as terminal:
        terminal.wait_for("● training")
        terminal.press("c")
        terminal.wait_for(r"clip +norm 1  @ [\d,]+")
        for columns, lines in ((60, 18), (200, 60), (80, 24)):
            terminal.resize(columns, lines)
            terminal.wait_for(rf"(?m)^─ 1 layers.{{{columns - 40},}}$")
        terminal.wait_for(r"clip +norm 1  @ [\d,]+")


@pytest.mark.parametrize("environ", [{"LANG": "C", "LC_ALL": "C"}, {"TERM": "vt100"}])
def test_an_ascii_terminal_gets_ascii_and_can_be_read(environ: dict[str, str]) -> None:
    with open_run(*SMALL, columns=80, lines=24, **environ) as terminal:
        terminal.keep_raw = True
        screen = terminal.wait_for(r"\* training")
        terminal.wait_for(r"rnn\.weight_hh_l0 +[_,.:=+*#x -]+ +\d")
        assert "clip" in screen
        assert terminal.raw.isascii()


def test_no_color_writes_no_colour() -> None:
    with open_run(*SMALL, columns=80, lines=24, NO_COLOR="1") as terminal:
        terminal.keep_raw = True
        terminal.wait_for("● training")
        terminal.wait_for("● HEALTHY|▲ EXPLODING")
        colours = {
            code for code in re.findall(rb"\x1b\[[\d;]*38;2;(\d+;\d+;\d+)", terminal.raw)
            if len(set(code.split(b";"))) > 1
        }  # fmt: skip
        assert not colours  # shades of grey at most


def test_a_run_that_is_lost_to_nan_waits_for_its_remedy_and_then_learns() -> None:
    lost = ("charlm-rnn", "--set", "model.activation=relu", "--lr", "3")
    with open_run(*lost, columns=80, lines=24) as terminal:
        terminal.wait_for("NON-FINITE  paused  r clip norm 1 . re-initialise torch . resume")
        screen = terminal.wait_for("‖ paused")
        assert "the loss is nan" in screen
        terminal.press("r")
        terminal.wait_for("● training")
        terminal.wait_for("● HEALTHY")
        terminal.wait_for(r"clip norm 1 \+ re-initialise torch:")


def test_bad_data_leaves_the_screen_and_says_what_to_do(tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("too short")
    with open_run("charlm-rnn", "--text", short) as terminal:
        assert terminal.wait() == 2
        assert "longer text" in terminal.text()


def test_an_exception_inside_the_model_shows_its_traceback(tmp_path: Path) -> None:
    """The failure is real: the model is broken by a hook, the way a user's own model would."""
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys\n"
        "import vgrad_tui.launch, vgrad.run.build\n"
        "build = vgrad.run.build.build\n"
        "def broken(config):\n"
        "    trainer = build(config)\n"
        "    def hook(module, inputs):\n"
        "        if trainer.step == 30:\n"
        "            raise ZeroDivisionError('the model divided by zero')\n"
        "    trainer.task.model.register_forward_pre_hook(hook)\n"
        "    return trainer\n"
        "vgrad.run.build.build = broken\n"
        "from vgrad_tui.cli import main\n"
        "main(['run', 'charlm-rnn', '--set', 'hidden=16'])\n"
    )
    with Terminal([sys.executable, script], columns=160, lines=60) as terminal:
        screen = terminal.wait_for("the model divided by zero")
        assert "ZeroDivisionError" in screen
        terminal.wait_for("broken.py")
        terminal.press("q")  # closes the dialog
        terminal.wait_until_gone("Traceback")
        terminal.wait_for("FAILED at step 30")
        terminal.press("q")
        assert terminal.wait() == 1


def test_the_terminal_is_restored_after_a_signal() -> None:
    with open_run(*SMALL) as terminal:
        before = termios.tcgetattr(terminal._fd)
        terminal.keep_raw = True
        terminal.wait_for("● training")
        terminal.signal(signal.SIGTERM)
        assert terminal.wait() == 130
        assert b"\x1b[?1049l" in terminal.raw  # the alternate screen is left
        assert b"\x1b[?1000l" in terminal.raw  # the mouse is let go
        # Without an alternate screen, as here and in GNU screen, nothing of what was drawn stays.
        screen = terminal.wait_for("stopped after")
        assert "● training" not in screen and "clip " not in screen
        assert termios.tcgetattr(terminal._fd)[3] & termios.ECHO == before[3] & termios.ECHO


@pytest.mark.parametrize(
    ("number", "after_s"),
    [
        *((signal.SIGTERM, after_s) for after_s in (0.0, 0.15, 0.3, 0.45, 0.6, 0.8)),
        # The same handler; and one that starts a process, which takes its time.
        *((number, after_s) for number in (signal.SIGINT, signal.SIGQUIT) for after_s in (0.0, 0.3, 0.6)),
        *((signal.SIGHUP, after_s) for after_s in (0.0, 0.45, 0.8)),
    ],
)
def test_a_signal_at_any_moment_of_the_start_gives_the_terminal_back(
    number: signal.Signals, after_s: float
) -> None:
    with open_run(*SMALL, "--steps", "20") as terminal:  # SIGHUP leaves it to a process of its own
        before = termios.tcgetattr(terminal._fd)
        terminal.keep_raw = True
        terminal.wait_for("preparing")
        time.sleep(after_s)
        terminal.signal(number)
        assert terminal.wait() == 130
        assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")
        assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l")  # the cursor
        assert termios.tcgetattr(terminal._fd) == before


def test_a_signal_whose_exception_python_drops_is_obeyed_all_the_same(tmp_path: Path) -> None:
    """Python drops what is raised in a destructor, such as by a handler that happens to run there."""
    script = tmp_path / "in_a_destructor.py"
    script.write_text(
        "import os, signal, sys\n"
        "class Signals:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "class Finder:\n"
        "    def find_spec(name, *_):\n"
        "        if name == 'vgrad_tui.app.app':\n"
        "            Signals()\n"
        "sys.meta_path.insert(0, Finder)\n"
        "from vgrad_tui.cli import main\n"
        "sys.exit(main(['run', 'charlm-rnn', '--set', 'hidden=16']))\n"
    )
    with Terminal([sys.executable, script], columns=80, lines=24) as terminal:
        terminal.keep_raw = True
        assert terminal.wait() == 130
        assert b"Exception ignored" in terminal.raw
        assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")


def test_leaving_while_it_prepares_waits_for_nothing() -> None:
    with open_run(*SMALL) as terminal:
        terminal.keep_raw = True
        terminal.wait_for("importing torch")
        terminal.press("q")
        assert terminal.wait() == 0
        assert b"charlm-rnn started" not in terminal.raw
        assert "charlm-rnn, seed 0: stopped after 0 steps" in terminal.text()
    assert [look(folder).status for folder in all_runs()] == ["stopped"]


# Stays when its terminal hangs up, and tells nobody, as make does.
_DEAF_PARENT = """
import signal, subprocess, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
subprocess.run(sys.argv[1:])
"""


def test_it_leaves_when_its_terminal_is_gone_though_nobody_says_so(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    command = [sys.executable, "-c", _DEAF_PARENT, VGRAD_TUI, "run", *SMALL, "--summary", summary]
    with Terminal(command, columns=100, lines=30) as terminal:
        terminal.wait_for("● training")
        parent = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children")
        if not parent.exists():
            pytest.skip("this system does not say whose child a process is")
        assert parent.read_text().split()
        terminal.hang_up()
        until(lambda: not parent.read_text().split(), shown=lambda: "it trains on for nobody")
    assert json.loads(summary.read_text())["steps"] > 0


def test_tmux_shows_it(require_tool: object) -> None:
    """In a real tmux: start, press c, see it applied."""
    tmux = require_tool("tmux")  # type: ignore[operator]
    socket = f"vgrad-test-{os.getpid()}"

    def run(*arguments: str) -> str:
        done = subprocess.run([tmux, "-L", socket, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    command = " ".join(str(part) for part in (VGRAD_TUI, "run", *SMALL))
    run("-u", "new-session", "-d", "-x", "80", "-y", "24", command)
    try:

        def screen() -> str:
            return run("-u", "capture-pane", "-p")

        until(lambda: "● training" in screen(), shown=screen)
        run("send-keys", "c")
        until(lambda: re.search(r"clip +norm 1  @ [\d,]+", screen()), shown=screen)
    finally:
        run("kill-server")
