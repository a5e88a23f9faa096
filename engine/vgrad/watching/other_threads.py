"""What the other threads of this process are doing, looked at while they wait.

Python 3.11 makes the object of a frame when somebody asks for it, and making it may start a garbage
collection. What that collection finalizes can let another thread run (freeing a tensor does). If the frame is
one of that thread, it has ended by then, and what is read next is memory that holds something else: the
process dies. So no collection starts here by itself. Python 3.12 collects between instructions alone.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_PATIENCE_S = 1.0  # a thread that waits this long for the interpreter gets it


class _Waiting:
    """How many threads are inside `while_others_wait`, and what the process had before the first came in."""

    num = 0
    is_changed = False  # the process's own settings are kept in the next two, and not all are put back yet
    interval_s = 0.0
    collects = False


@contextmanager
def while_others_wait() -> Iterator[None]:
    """Let no other thread run Python for a second, nor a garbage collection start in this one.

    A thread that has waited for the interpreter before may still get it once, after any call below. So every
    line tests and acts in one: between a test and the call that follows it no other thread can run.
    """
    if not _Waiting.is_changed:
        _Waiting.interval_s = sys.getswitchinterval()
    if not _Waiting.is_changed:
        _Waiting.collects = gc.isenabled()
    _Waiting.num += 1
    _Waiting.is_changed = True
    sys.setswitchinterval(_PATIENCE_S)
    gc.disable()
    try:
        yield
    finally:
        _Waiting.num -= 1
        if not _Waiting.num:
            sys.setswitchinterval(_Waiting.interval_s)
        if not _Waiting.num and _Waiting.collects:
            gc.enable()
        if not _Waiting.num:
            _Waiting.is_changed = False


def threads_alive() -> frozenset[int]:
    """The identifiers of the threads that run Python now."""
    with while_others_wait():
        return frozenset(sys._current_frames())


def stacks() -> Iterator[Iterator[FrameType]]:
    """The frames of each thread, the innermost first. To be walked inside `while_others_wait` alone."""
    return (_stack(top) for top in sys._current_frames().values())


def stack_of_this_thread() -> Iterator[FrameType]:
    """The frames that called this function, the innermost first."""
    return _stack(sys._getframe(1))


def _stack(top: FrameType) -> Iterator[FrameType]:
    frame: FrameType | None = top
    while frame is not None:
        yield frame
        frame = frame.f_back
