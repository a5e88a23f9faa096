"""How a test waits: for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 120.0


def until(
    condition: Callable[[], object],
    *,
    look: Callable[[], object] = lambda: None,
    shown: Callable[[], object] = lambda: "it never came",
) -> None:
    """Wait until ``condition`` is true.

    Args:
        condition: What is waited for.
        look: Called before each further try: takes in what is new.
        shown: What the failure shows.

    Raises:
        AssertionError: If it does not come for `PATIENCE_S`, which is long for a busy machine.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, shown()
        time.sleep(0.005)
        look()
