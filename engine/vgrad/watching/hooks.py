"""A pair of step hooks on one optimizer, added and removed without disturbing a step that is running.

Torch iterates over an optimizer's hooks while it calls them. Adding one to that dict or removing one from it
meanwhile, from inside a hook or from another thread, raises "OrderedDict mutated during iteration" in the
user's step. So while any thread is inside a step, what is to be added or removed waits for `run_deferred`.
A global step pre-hook is the exception, see `ahead_of_own_hooks`.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

Hook = Callable[..., Any]

_OPTIMIZER_FILE = "optim/optimizer.py"
_ALONE_S = 1.0  # a thread that waits this long for the interpreter gets it
_deferred: deque[Callable[[], None]] = deque()


class StepHooks:
    """Calls ``before`` and ``after`` around every step of ``optimizer``, until `remove`.

    Dynamo is kept out of both: in a compiled step they run as ordinary Python.

    Args:
        optimizer: A torch optimizer.
        before: Called as torch calls a step pre-hook.
        after: Called as torch calls a step post-hook.
    """

    def __init__(self, optimizer: Optimizer, before: Hook, after: Hook) -> None:
        self._optimizer = optimizer
        self._before: Hook | None = before
        self._after: Hook | None = after
        self._handles: tuple[RemovableHandle, ...] = ()
        when_no_step_runs(self._add)

    def remove(self) -> None:
        """Call neither of them any more; the entries are gone at once, or after the step that is running."""
        self._before = self._after = None
        when_no_step_runs(self._take_off)

    def _add(self) -> None:
        if self._before is not None:
            self._handles = (
                self._optimizer.register_step_pre_hook(_outside_dynamo(self._call_before)),
                self._optimizer.register_step_post_hook(_outside_dynamo(self._call_after)),
            )

    def _take_off(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = ()

    def _call_before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        return None if self._before is None else self._before(optimizer, args, kwargs)

    def _call_after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._after is not None:
            self._after(optimizer, args, kwargs)


def run_deferred() -> None:
    """Add and remove what had to wait, if no step is running now. Called between steps; costs nothing."""
    if _deferred and not is_inside_a_step():
        while _deferred:
            _deferred.popleft()()


class _Thread(threading.local):
    """What one thread is about."""

    def __init__(self) -> None:
        self.is_ahead = False


_thread = _Thread()


@contextmanager
def ahead_of_own_hooks() -> Iterator[None]:
    """Add hooks at once. Only for a global step pre-hook, and only to the optimizers that it meets first.

    Torch calls the global hooks before it begins to iterate over those of the optimizer itself, so these
    may still be added, and they are called in the same step.
    """
    _thread.is_ahead = True
    try:
        yield
    finally:
        _thread.is_ahead = False


def when_no_step_runs(action: Callable[[], None]) -> None:
    """Call ``action`` now, or, if some thread is inside a step, when the next backward pass begins."""
    if _thread.is_ahead:
        action()
        return
    with _alone():
        may_act = not is_inside_a_step()
        if may_act:
            run_deferred()
            action()
    if not may_act:
        at_next_backward(action)


def at_next_backward(action: Callable[[], None]) -> None:
    """Call ``action`` in the thread that begins the next backward pass, when no step runs."""
    _deferred.append(action)


@contextmanager
def _alone() -> Iterator[None]:
    """Let no other thread begin a step between a look and what is done about it: they wait for a second."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_ALONE_S)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def is_inside_a_step() -> bool:
    """Whether some thread is inside `Optimizer.step`, compiled or not."""
    for top in sys._current_frames().values():
        frame = top
        while frame is not None:
            code = frame.f_code
            if "wrapper" in code.co_name and code.co_filename.endswith(_OPTIMIZER_FILE):
                return True
            frame = frame.f_back  # type: ignore[assignment]
    return False


def _outside_dynamo(hook: Hook) -> Hook:
    disabled: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return disabled
