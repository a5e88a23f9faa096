"""``python -m tests.bench [--quick] [NAME ...]``: measure, compare with the limits, and say so.

Ends with 0 though a limit is missed, for a shared machine may be slow today; only a figure that
could not be measured at all is an error.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module

import torch
from tests.bench.figures import Figure, table
from tests.bench.harness import machine

# Modules of this package, each with its own `figures`.
REGISTRY = (
    "watching",
    "recording",
    "run_folder",
    "history",
    "start",
    "steering",
    "screen",
    "scale",
    "attaching",
    "over_ranks",
    "accelerator",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks; 1 if one of them could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument(
        "--quick", action="store_true", help="fewer repetitions: a minute or two, wider spread"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(REGISTRY)}")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(REGISTRY)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    print(machine())
    measured: list[Figure] = []
    has_failed = False
    for name in options.names or REGISTRY:
        figures: Callable[[bool], Iterator[Figure]] = import_module(f"tests.bench.{name}").figures
        try:
            for figure in figures(options.quick):
                measured.append(figure)
                print(figure.line(), flush=True)
        except Exception:  # noqa: BLE001  # the others are still worth measuring; the exit code tells
            has_failed = True
            print(f"{name} could not be measured:\n{traceback.format_exc()}", file=sys.stderr)
    print(f"\n{table(measured)}")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
