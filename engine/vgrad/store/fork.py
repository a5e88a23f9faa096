"""Keeps `os.fork` and what a recorder does apart.

A child has the thread that forked and no other. A lock that a recorder's thread holds at that moment, one of
SQLite's own or of the stream that it reads, stays locked in the child for ever. So a thread that forks waits
for a moment until the recorders of this process rest.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 1.0  # for a write; a fork is not to wait for a disk that hangs


class _Recorders:
    """The lock that a recorder holds while it writes, and a thread while it forks."""

    lock = threading.Lock()


class _Thread(threading.local):
    """Whether this thread holds the lock, as it forks."""

    has_lock = False


_thread = _Thread()


@contextmanager
def without_forks() -> Iterator[None]:
    """Let no thread of this process fork within the block."""
    with _Recorders.lock:
        yield


@contextmanager
def with_forks() -> Iterator[None]:
    """Allow them for a while within a block of `without_forks`."""
    _Recorders.lock.release()
    try:
        yield
    finally:
        _Recorders.lock.acquire()


def _before() -> None:
    _thread.has_lock = _Recorders.lock.acquire(timeout=_PATIENCE_S)


def _after_in_parent() -> None:
    if _thread.has_lock:
        _Recorders.lock.release()


def _after_in_child() -> None:
    _Recorders.lock = threading.Lock()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
