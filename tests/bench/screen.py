"""The screen in a real pseudo-terminal: what it takes from training, from the line, from patience."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.bench.figures import Figure
from tests.e2e.terminal import VGRAD_TUI, Terminal

COLUMNS, LINES = 160, 50

# Without validation and with clipping, so that all there is to time is healthy training.
_ALWAYS = ("charlm-rnn", "--eval-every", "0", "--clip", "norm:1")
FAST = (*_ALWAYS, "--set", "seq_len=16", "--set", "hidden=64", "--batch-size", "8")
SLOW = (*_ALWAYS, "--set", "hidden=256", "--batch-size", "32")


@dataclass(frozen=True, slots=True)
class Case:
    """A training to watch and the share of its speed that must remain."""

    name: str
    arguments: Sequence[str]
    steps: int
    limit: float


CASES = (Case("fast", FAST, 6000, 0.95), Case("slow", SLOW, 250, 0.98))


def figures(quick: bool) -> Iterator[Figure]:
    """Speed under the screen, bytes per second, time to answer a key, a stalled line."""
    for case in CASES:
        yield from _speed(case, num_pairs=2 if quick else 7, steps=case.steps // (4 if quick else 1))
    seconds = 4.0 if quick else 20.0
    yield _output("screen.output", (), seconds, 20.0)
    yield _output("screen.output.frugal", ("--frugal",), seconds, 3.0)
    yield _output_while_paused(seconds / 2)
    yield _key(num_presses=12 if quick else 60)
    if not quick:
        yield from _stalled(seconds)


def _speed(case: Case, *, num_pairs: int, steps: int) -> Iterator[Figure]:
    """Steps per second with the screen over those without, pair by pair, each first in turn."""
    ratios, rates = [], []
    for pair in range(num_pairs):
        arguments = ("run", *case.arguments, "--steps", str(steps))
        if pair % 2:
            shown, hidden = _with_screen(arguments), _without_screen(arguments)
        else:
            hidden, shown = _without_screen(arguments), _with_screen(arguments)
        ratios.append(shown / hidden)
        rates.append(hidden)
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    step_ms = 1e3 / float(np.median(rates))
    note = f"{COLUMNS}x{LINES}, steps of {step_ms:.1f} ms, {num_pairs} pairs of {steps} steps"
    yield Figure(
        f"screen.{case.name}_steps.speed", float(median), "x", case.limit, True, float(low), float(high), note
    )


def _without_screen(arguments: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "summary.json")
        command = [VGRAD_TUI, *arguments, "--headless", "--summary", path]
        subprocess.run(command, check=True, capture_output=True)
        return float(json.loads(path.read_text())["steps_per_s"])


def _with_screen(arguments: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "summary.json")
        with _open([*arguments, "--summary", str(path)]) as terminal:
            terminal.wait_for("DONE", 600, every_s=1.0)
            terminal.press("q")
            terminal.wait()
        return float(json.loads(path.read_text())["steps_per_s"])


def _open(arguments: Sequence[str]) -> Terminal:
    return Terminal([VGRAD_TUI, *arguments], columns=COLUMNS, lines=LINES)


def _output(name: str, flags: Sequence[str], seconds: float, limit_kb: float) -> Figure:
    """Kilobytes per second while training runs."""
    with _open(["run", *FAST, *flags]) as terminal:
        terminal.wait_for("● training")
        time.sleep(5.0)  # the first seconds draw the empty screen full
        before = terminal.num_bytes
        time.sleep(seconds)
        rate = (terminal.num_bytes - before) / seconds / 1e3
    return Figure(name, rate, "kB/s", limit_kb, note=f"over {seconds:.0f} s at {COLUMNS}x{LINES}")


def _output_while_paused(seconds: float) -> Figure:
    """Bytes that are written when nothing changes."""
    with _open(["run", *FAST]) as terminal:
        terminal.wait_for("● training")
        terminal.press(" ")
        terminal.wait_for("‖ paused")
        time.sleep(3.0)
        before = terminal.num_bytes
        time.sleep(seconds)
        return Figure(
            "screen.output.paused", terminal.num_bytes - before, "bytes", 0.0, note=f"{seconds:.0f} s"
        )


def _key(*, num_presses: int) -> Figure:
    """From a key to the changed cells on the screen, while training runs."""
    with _open(["run", *FAST, "--clip", "off", "--lr", "0.1"]) as terminal:
        terminal.wait_for("● training")
        time.sleep(3.0)
        times = []
        for press in range(num_presses):
            key, expected = (("]", "norm 2"), ("[", "norm 1"))[press % 2]
            begin = time.perf_counter()
            terminal.press(key)
            terminal.wait_for(rf"threshold +{expected}\b", every_s=0.001)
            times.append(1e3 * (time.perf_counter() - begin))
            time.sleep(0.11)  # out of step with the refresh
    low, p95, high = np.quantile(times, [0.25, 0.95, 0.75])
    note = f"95th percentile of {num_presses} presses, the emulator's own time included"
    return Figure("screen.key", float(p95), "ms", 50.0, False, float(low), float(high), note)


def _stalled(seconds: float) -> Iterator[Figure]:
    """Training and memory while nobody reads the terminal."""
    with _open(["run", *FAST]) as terminal:
        terminal.wait_for("● training")
        time.sleep(5.0)
        first = _step_of(terminal)
        time.sleep(seconds)
        second = _step_of(terminal)
        free = second - first
        resident = _resident_mb(terminal.pid)
        terminal.is_stalled = True
        time.sleep(seconds)
        grown = _resident_mb(terminal.pid) - resident
        terminal.is_stalled = False
        time.sleep(1.5)
        stalled = (_step_of(terminal) - second) * seconds / (seconds + 1.5)
    note = f"{seconds:.0f} s without a read, against the {seconds:.0f} s before"
    yield Figure("screen.stalled.speed", stalled / free, "x", 0.95, True, note=note)
    yield Figure("screen.stalled.memory", grown, "MB", 16.0, note="growth of the resident memory meanwhile")


def _step_of(terminal: Terminal) -> int:
    words = terminal.wait_for(r"step [\d,]+").split("step ")[1]
    return int(words.split()[0].replace(",", ""))


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes.split()[1]) / 1e3
