"""Calls all listeners around every backward pass of the process, and hands over its loss.

`torch.autograd.backward` is looked up at each call, by ``Tensor.backward`` too, so one wrapper around it sees
every pass of the process. `GradScaler.scale` is wrapped as well: what it multiplied is divided again.
Both are put back when the last listener is closed or gone.
"""

from __future__ import annotations

import functools
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from vgrad.measure.loss_guesses import NOTHING_SEEN, SeenGuesses, guesses_of
from vgrad.measure.stream_capture import is_capturing
from vgrad.watching.backward_call import leaves_of, loss_of, root_of
from vgrad.watching.hooks import run_deferred
from vgrad.watching.other_threads import threads_alive
from vgrad.watching.outside_dynamo import outside_dynamo
from vgrad.watching.outside_modes import has_function_mode, num_dispatch_modes, outside_modes
from vgrad.watching.tracebacks import leave_out_this_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vgrad.watching.backward_call import BackwardListener, LossListener


def listen(listener: BackwardListener) -> None:
    """Call ``listener`` around every outermost backward pass from now on."""
    _Wrappers.add_listener(listener)


def stop_listening(listener: BackwardListener) -> None:
    """Call ``listener`` no more; nothing happens if it was not called before."""
    _Wrappers.discard_listener(listener)


def catch_losses(listener: LossListener) -> None:
    """Call ``listener`` likewise, with the losses. It is held weakly."""
    _Wrappers.add(listener)


def stop_catching(listener: LossListener) -> None:
    """Call ``listener`` no more; nothing happens if it was not called before."""
    _Wrappers.discard(listener)


def num_backward_passes() -> int:
    """Outermost backward passes of this process that have ended while the wrapper was on."""
    return _Wrappers.num_passes


def is_in_backward() -> bool:
    """Whether some thread runs a backward pass now."""
    return bool(_Wrappers.running)


def backward_threads() -> frozenset[int]:
    """The threads that have run a backward pass and may still be there."""
    return _Wrappers.threads


class _Scaled(threading.local):
    """What a `GradScaler` has multiplied the loss with whose backward pass comes next in this thread."""

    scale: Tensor | float | None = None


_scaled = _Scaled()


class _Wrappers:
    """The two functions of torch that are wrapped, and the objects they are wrapped for.

    A `LossListener` is held weakly: with a model that nothing else holds, it is collected as well.
    """

    num_passes = 0
    running: ClassVar[set[int]] = set()  # threads that are inside a backward pass
    threads: frozenset[int] = frozenset()  # those that have run one and may still be there
    listeners: tuple[BackwardListener, ...] = ()
    _users: tuple[weakref.ref[LossListener], ...] = ()
    _lock = threading.RLock()  # a part that is collected while it is held closes itself
    _backward: Any = None
    _scale: Any = None

    @classmethod
    def users(cls) -> list[LossListener]:
        """Each `LossListener` that still exists."""
        return [user for ref in cls._users if (user := ref()) is not None]

    @classmethod
    def add_thread(cls, thread: int) -> None:
        """Take it that ``thread`` runs backward passes, too."""
        with cls._lock:
            cls.threads = frozenset({thread} | (cls.threads & threads_alive()))

    @classmethod
    def add(cls, user: LossListener) -> None:
        with cls._lock:
            cls._put_on()
            cls._users = (*cls._users, weakref.ref(user, cls._forget))

    @classmethod
    def discard(cls, user: LossListener) -> None:
        cls._keep(lambda ref: ref() is not user)

    @classmethod
    def add_listener(cls, listener: BackwardListener) -> None:
        with cls._lock:
            cls._put_on()
            cls.listeners = (*cls.listeners, listener)

    @classmethod
    def discard_listener(cls, listener: BackwardListener) -> None:
        with cls._lock:
            cls.listeners = tuple(other for other in cls.listeners if other is not listener)
            cls._take_off_if_unused()

    @classmethod
    def _forget(cls, gone: weakref.ref[LossListener]) -> None:
        cls._keep(lambda ref: ref is not gone)

    @classmethod
    def _keep(cls, is_kept: Callable[[weakref.ref[LossListener]], bool]) -> None:
        with cls._lock:
            cls._users = tuple(ref for ref in cls._users if is_kept(ref))
            cls._take_off_if_unused()

    @classmethod
    def _put_on(cls) -> None:
        if cls._backward is None:
            cls._backward, cls._scale = torch.autograd.backward, torch.amp.GradScaler.scale
            torch.autograd.backward = _wrapped_backward(cls._backward)
            torch.amp.GradScaler.scale = _wrapped_scale(cls._scale)  # type: ignore[method-assign]

    @classmethod
    def _take_off_if_unused(cls) -> None:
        if cls._backward is not None and not cls.users() and not cls.listeners:
            _put_back(torch.autograd, "backward", cls._backward)
            _put_back(torch.amp.GradScaler, "scale", cls._scale)
            cls._backward = cls._scale = _scaled.scale = None


def _put_back(owner: Any, name: str, original: Any) -> None:
    """Take our wrapper off, unless somebody has wrapped it again: then it stays and does nothing."""
    if getattr(getattr(owner, name), "_is_of_vgrad", False):
        setattr(owner, name, original)


def _wrapped_backward(original: Any) -> Any:
    # Right after a forward pass none of this is in the processor's caches: the fewer calls, the better.
    def backward(*args: Any, **kwargs: Any) -> Any:
        try:
            this = threading.get_ident()
            users, listeners = _Wrappers.users(), _Wrappers.listeners
            # A pass inside another is of activation checkpointing.
            if not (users or listeners) or this in _Wrappers.running:
                return original(*args, **kwargs)
            if this not in _Wrappers.threads:
                _Wrappers.add_thread(this)
            run_deferred()
            scale = _scaled.scale
            if scale is not None:
                _scaled.scale = None
            if listeners:
                for listener in listeners:
                    listener.guard.call(listener.before_backward)
                users = _Wrappers.users()
            loss, guesses = _begin(users, this, args, kwargs, scale)
            _Wrappers.running.add(this)
            try:
                result = original(*args, **kwargs)
            finally:
                _Wrappers.running.discard(this)
                _Wrappers.num_passes += 1
            if listeners:
                for listener in listeners:
                    listener.guard.call(listener.after_backward)
                users = _Wrappers.users()
            _end(users, this, loss, scale, guesses)
        except BaseException as error:
            leave_out_this_frame(error)
            raise
        return result

    wrapper = outside_dynamo(backward, original)
    wrapper._is_of_vgrad = True
    return wrapper


def _begin(
    users: Sequence[LossListener],
    thread: int,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    scale: Tensor | float | None,
) -> tuple[Tensor | float | None, SeenGuesses]:
    """Tell ``users`` that a pass begins; its loss, and what constant predictions would have cost."""
    if num_dispatch_modes() or has_function_mode():
        return cast("tuple[Any, SeenGuesses]", outside_modes(_begin, users, thread, args, kwargs, scale))
    loss, guesses = None, NOTHING_SEEN
    leaves = None
    try:
        root, weight = root_of(args, kwargs)
        loss = loss_of(root, weight, scale)
        for user in users:
            if not user.may_look(thread):
                leaves = leaves or functools.cache(functools.partial(leaves_of, root))
                if not user.claim(thread, leaves):
                    continue
            user.before_backward()
            is_plain = loss is not None and weight is None
            if user.looks_up_guesses and is_plain and not is_capturing(root):
                guesses = guesses_of(root, is_scaled=scale is not None)
    except Exception as error:  # noqa: BLE001  # none of ours may reach the user's loop
        for user in users:
            user.guard.caught(error)
    return loss, guesses


def _end(
    users: Sequence[LossListener],
    thread: int,
    loss: Tensor | float | None,
    scale: Tensor | float | None,
    guesses: SeenGuesses,
) -> None:
    """Tell ``users`` that the pass has ended, but those that were closed inside it."""
    if num_dispatch_modes() or has_function_mode():
        outside_modes(_end, users, thread, loss, scale, guesses)
        return
    for user in users:
        try:
            if user.is_open and user.may_look(thread):
                user.after_backward(loss, scale, guesses)
        except Exception as error:  # noqa: BLE001  # as above
            user.guard.caught(error)


def _wrapped_scale(original: Any) -> Any:
    @functools.wraps(original)
    def scale(self: Any, outputs: Any) -> Any:
        try:
            scaled = original(self, outputs)
        except BaseException as error:
            leave_out_this_frame(error)
            raise
        _scaled.scale = getattr(self, "_scale", None) if self.is_enabled() else None
        return scaled

    scale._is_of_vgrad = True  # type: ignore[attr-defined]
    return scale
