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


_open: weakref.WeakSet[Closeable] = weakref.WeakSet()


def remember(watch: Closeable) -> None:
    """Close ``watch`` as Python exits, if it still exists."""
    _open.add(watch)


def forget(watch: Closeable) -> None:
    """``watch`` has been closed already."""
    _open.discard(watch)


@atexit.register
def _close_all() -> None:
    is_interactive = hasattr(sys, "ps1")  # there the last error may be of any line before
    error = None if is_interactive else getattr(sys, "last_value", None)
    for each in list(_open):
        each.close(error)
