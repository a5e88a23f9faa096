"""The list of runs fits the terminal, and a program that reads it gets all of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from rich.cells import cell_len

from vgrad.store.listing import ListedRun
from vgrad_tui.commands.runs import run_table

RUNS = [
    ListedRun(
        "train_gpt_small-1127-192703", 4711, "alive", 1_234_567, 0.01382, "stalled", started_s=0.0, size=1
    ),
    ListedRun("a-1", None, "finished", 3, None, None),
]


@pytest.mark.parametrize("width", [72, 80, 100, math.inf])
def test_no_line_is_longer_than_the_terminal_is_wide(width: float) -> None:
    heading, *lines = run_table(RUNS, width)
    assert all(len(line) <= width for line in (heading, *lines))
    assert len(lines) == len(RUNS)
    assert all(line.startswith(run.name) for line, run in zip(lines, RUNS, strict=True))
    for column in ("NAME", "STATUS", "STEP", "LOSS", "VERDICT"):
        assert column in heading


def test_names_in_wide_characters_leave_the_columns_where_they_are() -> None:
    wide = replace(RUNS[1], name="編碼器-1127-192703")
    lines = run_table([RUNS[0], wide], math.inf)
    places = {
        cell_len(line.partition(status)[0])
        for line, status in zip(lines, ("STATUS", "alive", "finished"), strict=True)
    }
    assert len(places) == 1


def test_what_is_not_read_in_a_terminal_has_every_column() -> None:
    heading = run_table(RUNS, math.inf)[0]
    assert "STARTED" in heading and "SIZE" in heading
