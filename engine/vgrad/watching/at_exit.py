"""Closes what is still watched as Python exits: reports its last steps, and the error that made it exit.

What a script has dropped without closing it, optimizers and all, is closed before that: `close_dropped`.
"""

from __future__ import annotations

import atexit
import sys
import weakref
from collections import deque
from typing import Protocol


class Closeable(Protocol):
    """What is to be closed."""

    def close(self, error: BaseException | None = None) -> None:
        """End it; ``error`` is what ended the training, if an error did."""


_open: weakref.WeakKeyDictionary[Closeable, None] = weakref.WeakKeyDictionary()  # in their order
_dropped: deque[Closeable] = deque()


def remember(watch: Closeable) -> None:
    """Close ``watch`` as Python exits, if it still exists."""
    _open[watch] = None


def forget(watch: Closeable) -> None:
    """``watch`` has been closed already."""
    _open.pop(watch, None)


def still_open() -> list[Closeable]:
    """All that are remembered, the oldest first: a watch before those that have joined it."""
    return list(_open)


def drop(watch: Closeable) -> None:
    """Keep ``watch``, which nothing else holds, for `close_dropped`. For ``__del__``: it takes no lock."""
    _dropped.append(watch)


def has_dropped() -> bool:
    """Whether `close_dropped` has something to do."""
    return bool(_dropped)


def close_dropped() -> None:
    """Close what was dropped."""
    while _dropped:
        _dropped.popleft().close()


@atexit.register
def _close_all() -> None:
    is_interactive = hasattr(sys, "ps1")  # there the last error may be of any line before
    error = None if is_interactive else getattr(sys, "last_value", None)
    for each in still_open():
        each.close(error)
    close_dropped()
