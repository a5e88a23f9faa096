"""Closes what is still watched as Python exits: reports its last steps, and the error that made it exit."""

from __future__ import annotations

import atexit
import sys
import weakref
from typing import Protocol


class Closeable(Protocol):
    """What is to be closed."""

    def close(self, error: BaseException | None = None) -> None:
        """End it; ``error`` is what ended the training, if an error did."""


_open: weakref.WeakKeyDictionary[Closeable, None] = weakref.WeakKeyDictionary()  # in their order


def remember(watch: Closeable) -> None:
    """Close ``watch`` as Python exits, if it still exists."""
    _open[watch] = None


def forget(watch: Closeable) -> None:
    """``watch`` has been closed already."""
    _open.pop(watch, None)


def still_open() -> list[Closeable]:
    """All that are remembered, the oldest first: a watch before those that have joined it."""
    return list(_open)


@atexit.register
def _close_all() -> None:
    is_interactive = hasattr(sys, "ps1")  # there the last error may be of any line before
    error = None if is_interactive else getattr(sys, "last_value", None)
    for each in still_open():
        each.close(error)
