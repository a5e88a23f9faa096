"""What is on the terminal after a key is what a redraw of every cell would put there.

Every key of every screen is tried in `tests/tui/terminal/test_diff_app.py`; here the terminal is a real one.
"""

from __future__ import annotations

import os
import signal

import pytest
from tests.e2e.terminal import VGRAD_TUI, Terminal

SMALL = ("charlm-rnn", "--set", "hidden=32", "--set", "seq_len=16", "--batch-size", "4", "--eval-every", "50")
REDRAW = "\x0c"  # ctrl+l
SETTLED_S = 1.0
"""As long as the longest pause between two looks of the screen at its run: what they draw counts, too."""
UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
PAGE_DOWN, ENTER, ESCAPE = "\x1b[6~", "\r", "\x1b"
NO_DIALOG = r"(?s)\A(?!.*╭)"

STEPS = (
    ("l", r"linear ─"),
    ("zz", r"steps  linear ─"),
    (f"{LEFT}{LEFT}{RIGHT}xxxl", r"[^p]s?  log ─|─ log ─"),
    ("sy", "by largest|each its own"),
    ("c", r"clip +norm 1  @"),
    ("2", "rms 1e"),
    ("y", "rms low"),
    ("4", r"ρ\(W\)"),
    ("1", "by largest|each its own"),
    ("?", "single step|gradient"),
    (PAGE_DOWN, "chart|views"),
    (ESCAPE, NO_DIALOG),
    ("j", "(?s)╭.*started on"),
    (ESCAPE, NO_DIALOG),
    ("q", "Its state is saved"),
    ("n", NO_DIALOG),
    ("m", r"passes and precision"),
    (DOWN * 5 + RIGHT + LEFT + PAGE_DOWN, "▸ "),
    (ENTER, r"enter .*\("),
    ("8", "8"),
    (ESCAPE, r"▸ "),
    (ESCAPE, r"─ loss"),
    (ENTER, "layer 1 of|share of"),
    (DOWN + UP + ESCAPE, r"─ loss"),
)
"""Keys, and what the screen shows once they have been dealt with."""


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 36), (160, 50)])
def test_after_a_key_the_terminal_shows_what_a_redraw_would(columns: int, lines: int) -> None:
    with Terminal([VGRAD_TUI, "run", *SMALL], columns=columns, lines=lines) as terminal:
        terminal.wait_for("● training")
        terminal.wait_for(r"step \d{3}|step \d,")
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        terminal.wait_until_quiet(2.0)  # the last statistics have been drawn
        for keys, then in STEPS:
            terminal.press(keys)
            terminal.wait_for(then)
            terminal.wait_until_idle(SETTLED_S)
            cells, words = terminal.cells(), terminal.text().splitlines()
            redraw(terminal, columns * lines)
            redrawn = terminal.text().splitlines()
            wrong = [
                y for y, (was, now) in enumerate(zip(cells, terminal.cells(), strict=True)) if was != now
            ]
            assert not wrong, f"after {keys!r}:\n" + "\n".join(
                f"{y:2} shown   {words[y]}\n   redrawn {redrawn[y]}" for y in wrong
            )


def test_ctrl_z_gives_the_terminal_back_and_fg_draws_everything_again() -> None:
    with Terminal([VGRAD_TUI, "run", *SMALL], columns=80, lines=24) as terminal:
        terminal.keep_raw = True
        terminal.wait_for("● training")
        terminal.press("\x1a")
        _, status = os.waitpid(terminal.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        terminal.wait_until_quiet()
        assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")
        before = terminal.num_bytes
        terminal.signal(signal.SIGCONT)
        terminal.wait_for_bytes(before + 80 * 24)
        terminal.press(" ")
        # Rows that do not change are drawn again, too: the terminal was given back empty.
        for words in ("‖ paused", "train .* log", "c   clip", "1 layers", r"\? keys"):
            terminal.wait_for(words)


@pytest.mark.parametrize("keys", ["?", f"m{DOWN}{ENTER}8"])
def test_a_paused_run_under_a_dialog_writes_nothing(keys: str) -> None:
    with Terminal([VGRAD_TUI, "run", *SMALL], columns=80, lines=24) as terminal:
        terminal.wait_for("● training")
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        terminal.press(keys)
        terminal.wait_until_quiet(4.0)


def redraw(terminal: Terminal, num_cells: int) -> None:
    """Have every cell written again, and wait until that is done."""
    before = terminal.num_bytes
    terminal.press(REDRAW)
    terminal.wait_for_bytes(before + num_cells // 2)
    terminal.wait_until_idle(0.4)
