"""What remembering costs: memory after a million steps, and the time of an append."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from tests.bench.figures import Figure

from vgrad.events.history import History

_NUM_CHANNELS = 10_000
_ROWS = 16


def figures(quick: bool) -> Iterator[Figure]:
    """Memory and appends of the history of 10,000 layers."""
    history = History.sized(_NUM_CHANNELS, max_bytes=64 * 2**20)
    values = np.random.default_rng(0).random((_ROWS, _NUM_CHANNELS), dtype=np.float32)
    took_s = []
    for batch in range(20 if quick else 200):
        steps = np.arange(_ROWS) + batch * _ROWS + 1
        begin = time.perf_counter()
        history.extend(steps, values)
        took_s.append((time.perf_counter() - begin) / _ROWS)
    history.extend(np.array([1_000_000]), values[:1])
    low, median, high = 1e6 * np.quantile(took_s, [0.25, 0.5, 0.75])
    mib = history.nbytes / 2**20
    yield Figure("history.10k-layers.memory", mib, "MiB", 64, note="at step 1,000,000, as at step 1")
    yield Figure(
        "history.10k-layers.append", float(median), "us", low=float(low), high=float(high), note="per step"
    )
