"""Fair comparison on a machine that others use too: paired and interleaved.

Every variant has its own identical copy of the model and takes one step in turn, so that
whatever slows the machine slows all of them alike. What is counted is the processor time of this
process: nothing waits here, and the time that others were given is not ours. A block sums many
such rounds (what is paid only every few steps is in the sum), each block gives a ratio, and the
median over the blocks is reported with its quartiles.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        warm_up: Rounds before the clock counts.
        blocks: Ratios that the median is taken over.
        rounds: Steps of each variant per block.
    """

    warm_up: int
    blocks: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """Time of one variant over that of another: median and quartiles over the blocks."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Processor seconds per step of each variant, shape ``(blocks,)`` each."""

    seconds: Mapping[str, NDArray[np.float64]]

    def ratio(self, variant: str, to: str) -> Ratio:
        """How much longer ``variant`` takes than ``to``."""
        low, median, high = np.quantile(self.seconds[variant] / self.seconds[to], [0.25, 0.5, 0.75])
        return Ratio(float(median), float(low), float(high))

    def step_ms(self, variant: str) -> float:
        """Median milliseconds of processor time per step."""
        return 1e3 * float(np.median(self.seconds[variant]))


def compare(variants: Mapping[str, Step], effort: Effort) -> Comparison:
    """Time all variants step by step in turn, each round beginning with another one."""
    names = list(variants)
    for _ in range(effort.warm_up):
        for name in names:
            variants[name]()
    seconds = {name: np.zeros(effort.blocks) for name in names}
    for block in range(effort.blocks):
        for turn in range(effort.rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                begin = time.process_time()
                variants[name]()
                seconds[name][block] += time.process_time() - begin
    return Comparison({name: total / effort.rounds for name, total in seconds.items()})


def machine() -> str:
    """One line that says where the figures come from."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()},"
        f" Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
