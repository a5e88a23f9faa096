"""A Ctrl-C within a garbage collection is not lost."""

from __future__ import annotations

import gc
import signal
import threading
import weakref

import pytest

from vgrad.watching.signals_later import signals_later


class Cyclic:
    """Is freed by a garbage collection alone."""

    def __init__(self) -> None:
        self.me = self


def interrupt_within_a_collection() -> None:
    """Send SIGINT to this process from the callback of a weak reference, which a collection calls."""
    thing = Cyclic()
    ref = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    gc.collect()
    assert ref() is None


def test_an_interrupt_within_a_collection_comes_right_after_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), signals_later():
        interrupt_within_a_collection()
    assert signal.getsignal(signal.SIGINT) is before


def test_somebodys_own_handler_is_called_once_and_put_back() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, _: came.append(signum))
    own = signal.getsignal(signal.SIGTERM)
    try:
        with signals_later():
            signal.raise_signal(signal.SIGTERM)
            assert not came
        assert came == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_no_handler_is_touched() -> None:
    handlers: list[object] = []

    def look() -> None:
        with signals_later():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [before]
