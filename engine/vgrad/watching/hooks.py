"""The hooks on one optimizer, added and removed without disturbing a step that is running.

Torch iterates over an optimizer's hooks while it calls them. Adding one to that dict or removing one from it
meanwhile, from inside a hook or from another thread, raises "OrderedDict mutated during iteration" in the
user's step. So while any thread is inside a step of it, what is to be added or removed waits for
`run_deferred`. A global step pre-hook is the exception, see `ahead_of_own_hooks`.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from vgrad.watching.other_threads import stack_of_this_thread, stacks, while_others_wait
from vgrad.watching.outside_dynamo import outside_dynamo
from vgrad.watching.outside_modes import has_function_mode, num_dispatch_modes, outside_modes

if TYPE_CHECKING:
    from types import FrameType

    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle

Hook = Callable[..., Any]

_log = logging.getLogger("vgrad")

_OPTIMIZER_FILE = "optim/optimizer.py"
# Each with the optimizer whose hooks it changes; None where it must not meet a step of any.
_deferred: deque[tuple[Optimizer | None, Callable[[], None]]] = deque()
_ahead: set[int] = set()  # ids of optimizers that a global hook has met, see `ahead_of_own_hooks`


class StepHooks:
    """Calls ``before`` and ``after`` around every step of ``optimizer``, until `remove`.

    Dynamo is kept out of both: in a compiled step they run as ordinary Python. Nor do the modes of the
    loop see what they compute. Where the ``step`` of a class
    calls that of its base class, torch may call the hooks for either: here the outer one alone counts.

    Args:
        optimizer: A torch optimizer.
        before: Called as torch calls a step pre-hook.
        after: Called as torch calls a step post-hook. Not called where the step raises.
        before_state_dict: Called as ``optimizer.state_dict()`` begins outside a step. An exception of the
            last step may be being handled: what was changed for that step is to be put back first.
    """

    def __init__(
        self, optimizer: Optimizer, before: Hook, after: Hook, before_state_dict: Callable[[], None]
    ) -> None:
        self._optimizer = optimizer
        self._before: Hook | None = before
        self._after: Hook | None = after
        self._before_state_dict = before_state_dict
        self._handles: tuple[RemovableHandle, ...] = ()
        self._is_inside = False  # a step has begun; it may have raised since
        self._has_inner = False  # that step has called the one of its base class
        when_no_step_runs(self._add, of=optimizer)

    def remove(self) -> None:
        """Call neither of them any more; the entries are gone at once, or after the step that is running."""
        self._before = self._after = None
        when_no_step_runs(self._take_off, of=self._optimizer)

    def remove_at_next_step(self, function: Callable[[], None]) -> None:
        """Call neither of them any more, but ``function`` as the next step begins; then the entries go."""

        def before(*_: object) -> None:
            self.remove()
            function()

        self._before, self._after = before, None

    def _add(self) -> None:
        if self._before is not None:
            self._handles = (
                self._optimizer.register_step_pre_hook(outside_dynamo(self._call_before)),
                self._optimizer.register_step_post_hook(outside_dynamo(self._call_after)),
                self._optimizer.register_state_dict_pre_hook(self._call_before_state_dict, prepend=True),
            )

    def _take_off(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = ()

    def _call_before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        if self._is_inside and _is_inner_step(self._optimizer):
            self._has_inner = True
            return None
        self._is_inside, self._has_inner = True, False
        if self._before is None:
            return None
        if num_dispatch_modes() or has_function_mode():
            return outside_modes(self._before, optimizer, args, kwargs)
        return self._before(optimizer, args, kwargs)

    def _call_after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._has_inner and _is_inner_step(self._optimizer):
            return
        self._is_inside = self._has_inner = False
        if self._after is None:
            return
        if num_dispatch_modes() or has_function_mode():
            outside_modes(self._after, optimizer, args, kwargs)
        else:
            self._after(optimizer, args, kwargs)

    def _call_before_state_dict(self, _: Optimizer) -> None:
        if self._before is not None and not is_inside_a_step(self._optimizer):
            self._before_state_dict()


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
        _, action = _deferred.popleft()
        action()


def _trace_until_after_step() -> None:
    """Carry out what waits on the line after the step that this thread is inside of.

    A loop of closures runs all its backward passes inside steps, so there is no better moment.
    """
    steps = [frame for frame in stack_of_this_thread() if _is_of_step(frame)]
    caller = steps[-1].f_back if steps else None
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


@contextmanager
def ahead_of_own_hooks(optimizer: Optimizer) -> Iterator[None]:
    """Let any thread change the hooks of ``optimizer`` at once. Only for a global step pre-hook.

    Torch calls the global hooks before it begins to iterate over those of the optimizer itself, so these
    may still be added, and they are called in the same step. So are those that have waited for this step.
    """
    _ahead.add(id(optimizer))
    try:
        yield
        for entry in _waiting_for(optimizer):
            _deferred.remove(entry)
            entry[1]()
    finally:
        _ahead.discard(id(optimizer))


def waits_for(optimizer: Optimizer) -> bool:
    """Whether a change of its hooks waits until no step of it runs."""
    return bool(_deferred) and bool(_waiting_for(optimizer))


def may_be_hooked(optimizer: Optimizer) -> bool:
    """Whether hooks can be added to ``optimizer`` now, by any thread."""
    return id(optimizer) in _ahead or not is_inside_a_step(optimizer)


def when_no_step_runs(action: Callable[[], None], *, of: Optimizer | None = None) -> None:
    """Call ``action`` now, or, if some thread is inside a step, when a later backward pass begins.

    Args:
        action: What is to be done.
        of: Only steps of this optimizer matter, for ``action`` changes its hooks alone.
    """
    if of is not None and id(of) in _ahead:
        action()
        return
    with while_others_wait():
        may_act = not is_inside_a_step(of)
        if may_act:
            if of is None or not is_inside_a_step():
                run_deferred()
            action()
    if not may_act:
        _deferred.append((of, action))


def at_next_backward(action: Callable[[], None]) -> None:
    """Call ``action`` in the thread that begins the next backward pass, when that is inside no step."""
    _deferred.append((None, action))


def _waiting_for(optimizer: Optimizer) -> list[tuple[Optimizer | None, Callable[[], None]]]:
    return [entry for entry in list(_deferred) if entry[0] is optimizer]


def is_inside_a_step(of: Optimizer | None = None) -> bool:
    """Whether some thread is inside `Optimizer.step`, compiled or not; that ``of`` one optimizer if given."""
    with while_others_wait():
        return any(
            _is_of_step(frame) and (of is None or _may_step(frame, of))
            for stack in stacks()
            for frame in stack
        )


def _is_inner_step(optimizer: Optimizer) -> bool:
    """Whether the innermost step of this thread was called by another step of the same optimizer."""
    steps = (frame for frame in stack_of_this_thread() if _is_of_step(frame) and not _is_resumed(frame))
    stepped = (next(iter(frame.f_locals.get("args") or ()), None) for frame in steps)
    return sum(each is optimizer for each in stepped) > 1


def _is_resumed(frame: FrameType) -> bool:
    """Whether it is what Dynamo runs after a break of the graph: a further frame of the same step."""
    return frame.f_code.co_name != "wrapper"


def this_thread_is_inside_a_step() -> bool:
    """Whether the calling thread is inside the step of some optimizer."""
    return any(map(_is_of_step, stack_of_this_thread()))


def _is_of_step(frame: FrameType) -> bool:
    code = frame.f_code
    return "wrapper" in code.co_name and code.co_filename.endswith(_OPTIMIZER_FILE)


def _may_step(frame: FrameType, optimizer: Optimizer) -> bool:
    """Whether the frame of a step may iterate over the hooks of ``optimizer``, which a wrapper may share."""
    stepped = next(iter(frame.f_locals.get("args") or ()), None)
    if not isinstance(stepped, torch.optim.Optimizer):
        return True  # not known: compiled
    ours, theirs = (vars(each).get("_optimizer_step_pre_hooks") for each in (optimizer, stepped))
    return stepped is optimizer or (ours is not None and ours is theirs)
