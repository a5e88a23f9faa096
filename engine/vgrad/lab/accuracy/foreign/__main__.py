"""``python -m vgrad.lab.accuracy.foreign``: run every loop with two seeds, keep and print the counts."""

from __future__ import annotations

import os
import sys

from vgrad.lab.accuracy.foreign.kinds import FOREIGN_KINDS
from vgrad.lab.accuracy.foreign.report import ForeignRun, foreign_as_text, write_foreign_runs
from vgrad.lab.accuracy.foreign.runs import run_kind
from vgrad.lab.process_pool import map_in_processes

_SEEDS = (0, 1)


def main() -> None:
    """Run all, write what became of them beside the other data, and print the counts."""
    items = [(kind.name, seed) for seed in _SEEDS for kind in FOREIGN_KINDS]
    found: dict[int, ForeignRun] = dict(map_in_processes(run_kind, items, processes=os.cpu_count() or 1))
    runs = [found[index] for index in range(len(items))]
    write_foreign_runs(runs)
    sys.stdout.write(f"{foreign_as_text(runs)}\n")


if __name__ == "__main__":
    main()
