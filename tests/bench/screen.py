"""The screen in a real pseudo-terminal: what it takes from training, from the line, from patience."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.bench.figures import Figure
from tests.e2e.terminal import VGRAD_TUI, Terminal

from vgrad.config import RunConfig

COLUMNS, LINES = 160, 50

# Without validation and with clipping, so that all there is to time is healthy training.
_ALWAYS = ("charlm-rnn", "--eval-every", "0", "--clip", "norm:1")
FAST = (*_ALWAYS, "--set", "seq_len=16", "--set", "hidden=64", "--batch-size", "8")


@dataclass(frozen=True, slots=True)
class Case:
    """A training to watch and the share of its speed that must remain."""

    name: str
    config: RunConfig
    limit: float


_SAME = {"recipe": "charlm-rnn", "eval_every": 0, "clip": "norm:1"}
CASES = (
    Case("fast", RunConfig(**_SAME, batch_size=8, options={"seq_len": 16, "hidden": 64}), 0.95),
    Case("slow", RunConfig(**_SAME, batch_size=32, options={"hidden": 256}), 0.98),
)


def figures(quick: bool) -> Iterator[Figure]:
    """Speed under the screen, bytes per second, time to answer a key, a stalled line."""
    if quick:
        yield from _speed(CASES[0], num_pairs=2, seconds=1.0)
        yield _key(num_presses=10)
        return
    for case in CASES:
        yield from _speed(case, num_pairs=10, seconds=3.0)
    yield _output("screen.output", (), 20.0, 20.0)
    yield _output("screen.output.frugal", ("--frugal",), 20.0, 3.0)
    yield _output_while_paused(10.0)
    yield _key(num_presses=60)
    yield from _stalled(10.0)


def _speed(case: Case, *, num_pairs: int, seconds: float) -> Iterator[Figure]:
    """Steps per second with the screen on over those with it off, window by window in one process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rates.json")
        command = [sys.executable, "-m", "tests.bench.gated", file, str(2 * num_pairs + 1), str(seconds)]
        with Terminal([*command, case.config.model_dump_json()], columns=COLUMNS, lines=LINES) as terminal:
            terminal.wait(60 + 4 * num_pairs * seconds)
        rates = np.array(json.loads(file.read_text()))
    shown, hidden = rates[::2], rates[1::2]
    # Each window without the screen stands between two with it, so a drift of the machine cancels.
    ratios = (shown[:-1] + shown[1:]) / 2 / hidden
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    note = f"{COLUMNS}x{LINES}, steps of {1e3 / np.median(hidden):.1f} ms, {num_pairs} pairs of {seconds:g} s"
    yield Figure(
        f"screen.{case.name}_steps.speed", float(median), "x", case.limit, True, float(low), float(high), note
    )


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
        rates, grown = [], 0.0
        for is_stalled in (False, True, False, True, False):
            resident = _resident_mb(terminal.pid)
            first = _step_of(terminal)  # which waits for a refresh: the clock counts from that one on
            begin = time.perf_counter()
            terminal.is_stalled = is_stalled
            time.sleep(seconds)
            if is_stalled:
                grown = max(grown, _resident_mb(terminal.pid) - resident)
                terminal.is_stalled = False
            time.sleep(2.5)  # until what was under way is through and the screen is of now again
            last = _step_of(terminal)
            rates.append((last - first) / (time.perf_counter() - begin))
    free, stalled = np.mean(rates[::2]), np.mean(rates[1::2])
    note = f"{seconds:.0f} s without a read, twice, between as long with one"
    yield Figure("screen.stalled.speed", float(stalled / free), "x", 0.95, True, note=note)
    yield Figure("screen.stalled.memory", grown, "MB", 16.0, note="growth of the resident memory meanwhile")


def _step_of(terminal: Terminal) -> int:
    """The step on the screen, waiting for the next refresh so that it is of now."""
    before = terminal.text()
    deadline = time.monotonic() + 5.0
    while _shown_step(terminal.text()) == _shown_step(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return _shown_step(terminal.text())


def _shown_step(screen: str) -> int:
    found = re.search(r"step ([\d,]+)", screen)
    return int(found[1].replace(",", "")) if found else -1


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes.split()[1]) / 1e3
