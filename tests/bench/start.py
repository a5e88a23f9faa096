"""How long one waits for the first sign of life."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from tests.bench.figures import Figure
from tests.e2e.terminal import VGRAD_TUI, Terminal

_EMPTY_APP = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    def compose(self):
        yield Static("here")

Empty().run()
"""


def figures(quick: bool) -> Iterator[Figure]:
    """`--help`, the first frame, and the whole screen, long before torch is in."""
    num = 3 if quick else 15
    yield _figure("start.help", _help, num, 0.2, "vgrad-tui --help, as a process")
    yield _figure(
        "start.first_frame", _first_frame, num, 0.5, "to the word 'preparing' on a terminal of 160x50"
    )
    yield _figure(
        "start.screen", _screen, num, None, "to the whole screen and 'importing torch' on it, likewise"
    )
    yield _figure("start.screen.empty", _empty_screen, num, None, "to that of an empty Textual app, likewise")


def _figure(name: str, measure: Callable[[], float], num: int, limit: float | None, note: str) -> Figure:
    measure()  # the first one reads the files from the disk
    low, median, high = np.quantile([measure() for _ in range(num)], [0.25, 0.5, 0.75])
    return Figure(name, float(median), "s", limit, False, float(low), float(high), f"{note}, {num} times")


def _help() -> float:
    begin = time.perf_counter()
    subprocess.run([VGRAD_TUI, "--help"], check=True, capture_output=True)
    return time.perf_counter() - begin


def _first_frame() -> float:
    return _until("preparing", [VGRAD_TUI])


def _screen() -> float:
    return _until("importing torch", [VGRAD_TUI])


def _empty_screen() -> float:
    return _until("here", [sys.executable, "-c", _EMPTY_APP])


def _until(words: str, argv: list[str]) -> float:
    with Terminal(argv, columns=160, lines=50) as terminal:
        terminal.wait_for(words, every_s=0.002)
        return time.perf_counter() - terminal.started
