"""Calls a function when a process is about to train for the first time, and costs nothing until then."""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_S = 20.0  # for another thread whose training was the first


def before_first_training(function: Callable[[], None], prepare: Callable[[], None]) -> None:
    """Call ``prepare`` and ``function`` once, before torch makes an optimizer or runs a backward pass.

    Another thread that trains meanwhile waits until both are done, at least if ``function`` is quick: what
    takes longer belongs into ``prepare``.

    Torch must have been imported. Its two functions are put back before ``function`` is called, and the call
    that came first goes to whatever ``function`` has put there. Where somebody else has wrapped one of
    them meanwhile, their wrapper stays, and the call goes on to torch.
    """
    torch: Any = sys.modules["torch"]
    optimizer, autograd = torch.optim.Optimizer, torch.autograd
    make, backward = optimizer.__init__, autograd.backward
    has_begun = is_over = False
    beginning = threading.RLock()

    def begin() -> None:
        nonlocal has_begun, is_over
        if is_over:
            return
        if not beginning.acquire(timeout=_PATIENCE_S):
            is_over = True  # in a forked process, the thread that holds it does not exist
            return
        try:
            if has_begun:
                return
            has_begun = True
            from vgrad.watching.other_threads import while_others_wait

            prepare()
            try:
                with while_others_wait():  # until `function` has put its own there, they are torch's
                    if optimizer.__init__ is first_make:  # somebody else may have wrapped it
                        optimizer.__init__ = make
                    if autograd.backward is first_backward:
                        autograd.backward = backward
                    function()
            finally:
                is_over = True
        finally:
            beginning.release()

    def has_changed() -> bool:
        return optimizer.__init__ is not first_make and autograd.backward is not first_backward

    first_make = _stand_in_for(optimizer, "__init__", begin, has_changed)
    first_backward = _stand_in_for(autograd, "backward", begin, has_changed)
    optimizer.__init__, autograd.backward = first_make, first_backward


def _stand_in_for(
    owner: Any, name: str, begin: Callable[[], None], has_changed: Callable[[], bool]
) -> Callable[..., Any]:
    """What calls ``begin``, and then whatever has been put in its place, or the original."""
    from vgrad.watching.tracebacks import leave_out_this_frame

    original = getattr(owner, name)

    @functools.wraps(original)
    def first(*args: Any, **kwargs: Any) -> Any:
        try:
            is_outermost = getattr(owner, name) is first
            begin()
            return (getattr(owner, name) if is_outermost and has_changed() else original)(*args, **kwargs)
        except BaseException as error:
            leave_out_this_frame(error)
            raise

    return first
