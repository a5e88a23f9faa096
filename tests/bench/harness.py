"""Fair comparison on a machine that others use too: paired and interleaved.

All variants train one and the same model, a few steps each in turn, so that whatever slows the machine
slows all of them alike, and each finds the same memory and the same caches: identical copies differ
by more than what is measured here. What is counted is the processor time of this process: nothing
waits here, and the time that others were given is not ours. A block sums many such rounds (what is
paid only every few steps is in the sum), each block gives a ratio, and the median over the blocks
is reported with its quartiles.
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


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """One way to train the model that all variants share.

    Attributes:
        step: Trains one step.
        attach: Makes the model ready for it; not timed.
        detach: Takes that back; not timed.
    """

    step: Step
    attach: Step = _nothing
    detach: Step = _nothing


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        warm_up: Rounds before the clock counts.
        blocks: Ratios that the median is taken over.
        rounds: Turns of each variant per block.
        steps: Steps in a row per turn. Where steps are short several, as in a real run: what one leaves in
            the caches the next one finds.
    """

    warm_up: int
    blocks: int
    rounds: int
    steps: int = 1


@dataclass(frozen=True, slots=True)
class Ratio:
    """Time of one variant over that of another: median and quartiles over the blocks."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Seconds per step of each variant, shape ``(blocks,)`` each: of the processor, or by the clock."""

    seconds: Mapping[str, NDArray[np.float64]]

    def ratio(self, variant: str, to: str) -> Ratio:
        """How much longer ``variant`` takes than ``to``."""
        low, median, high = np.quantile(self.seconds[variant] / self.seconds[to], [0.25, 0.5, 0.75])
        return Ratio(float(median), float(low), float(high))

    def step_ms(self, variant: str) -> float:
        """Median milliseconds per step."""
        return 1e3 * float(np.median(self.seconds[variant]))


def compare(variants: Mapping[str, Variant], effort: Effort) -> Comparison:
    """Time all variants in turn, each round beginning with another one."""
    for _ in range(effort.warm_up):
        for variant in variants.values():
            _processor_s(variant, effort.steps)
    seconds = {name: np.zeros(effort.blocks) for name in variants}
    for block in range(effort.blocks):
        for turn in range(effort.rounds):
            for name in _from(turn, variants):
                seconds[name][block] += _processor_s(variants[name], effort.steps)
    num_steps = effort.rounds * effort.steps
    return Comparison({name: total / num_steps for name, total in seconds.items()})


def compare_runs(variants: Mapping[str, Variant], effort: Effort, wait: Step) -> Comparison:
    """The same by the clock on the wall, for a device that works beside the host.

    A single step has no end there: ``wait``, which returns when all that was launched is done, is called
    before and after each turn.
    """
    for _ in range(effort.warm_up):
        for variant in variants.values():
            _clock_s(variant, effort.steps, wait)
    seconds = {name: np.zeros(effort.blocks) for name in variants}
    for block in range(effort.blocks):
        for turn in range(effort.rounds):
            for name in _from(block + turn, variants):
                seconds[name][block] += _clock_s(variants[name], effort.steps, wait)
    num_steps = effort.rounds * effort.steps
    return Comparison({name: total / num_steps for name, total in seconds.items()})


def _from(turn: int, variants: Mapping[str, Variant]) -> list[str]:
    names = list(variants)
    first = turn % len(names)
    return names[first:] + names[:first]


def _processor_s(variant: Variant, num_steps: int) -> float:
    variant.attach()
    begin = time.process_time()
    for _ in range(num_steps):
        variant.step()
    end = time.process_time()
    variant.detach()
    return end - begin


def _clock_s(variant: Variant, num_steps: int, wait: Step) -> float:
    variant.attach()
    wait()
    begin = time.perf_counter()
    for _ in range(num_steps):
        variant.step()
    wait()
    end = time.perf_counter()
    variant.detach()
    return end - begin


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
