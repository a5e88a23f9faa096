"""A pair of step hooks on one optimizer, added and removed without disturbing a step that is running.

Torch iterates over an optimizer's hooks while it calls them. Adding one to that dict or removing one from it
meanwhile, from inside a hook or from another thread, raises "OrderedDict mutated during iteration" in the
user's step. So while any thread is inside a step, what is to be added or removed waits for `run_deferred`.
A global step pre-hook is the exception, see `ahead_of_own_hooks`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from types import FrameType

    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

Hook = Callable[..., Any]

_log = logging.getLogger("vgrad")

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
    """Add and remove what had to wait, if no step is running now, or else after the step of this thread.

    Called as backward passes begin; costs nothing where nothing waits.
    """
    if not _deferred:
        return
    if is_inside_a_step():
        _trace_until_after_step()
        return
    while _deferred:
        _deferred.popleft()()


def _trace_until_after_step() -> None:
    """Carry out what waits on the line after the step that this thread is inside of.

    A loop of closures runs all its backward passes inside steps, so there is no better moment.
    """
    frame: FrameType | None = sys._getframe()
    caller = None
    while frame is not None:
        if _is_of_step(frame):
            caller = frame.f_back
        frame = frame.f_back
    if caller is None or sys.gettrace() is not None:  # another thread's step; a debugger
        return

    def after_step(frame: FrameType, *_: object) -> None:
        sys.settrace(None)
        frame.f_trace = None
        try:
            run_deferred()
        except Exception:  # noqa: BLE001  # it would be raised in somebody's loop
            _log.exception("vgrad could not take its hooks off; training goes on")

    caller.f_trace = after_step
    sys.settrace(lambda *_: None)


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
    """Call ``action`` in the thread that begins the next backward pass, when that is inside no step."""
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
            if _is_of_step(frame):
                return True
            frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_of_step(frame: FrameType) -> bool:
    code = frame.f_code
    return "wrapper" in code.co_name and code.co_filename.endswith(_OPTIMIZER_FILE)


def _outside_dynamo(hook: Hook) -> Hook:
    disabled: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return disabled
