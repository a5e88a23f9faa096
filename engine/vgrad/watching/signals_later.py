"""Keeps signals out of a garbage collection that we ask for.

Python drops what a signal handler raises inside a destructor or the callback of a weak reference, and both
run within a collection. A signal that comes meanwhile is handled in the first of them, and a Ctrl-C is lost.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_later() -> Iterator[None]:
    """Handlers of SIGINT, SIGTERM and SIGHUP that are written in Python run after the block, not within it.

    They run in the main thread alone, so in any other thread there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signum: found for signum in _ENDING if callable(found := signal.getsignal(signum))}
    came: list[int] = []
    try:
        for signum in handlers:
            signal.signal(signum, lambda number, _: came.append(number))
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        for number in came:
            handlers[signal.Signals(number)](number, sys._getframe())
