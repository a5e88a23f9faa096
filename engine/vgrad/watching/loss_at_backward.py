"""Catches the loss of a training loop that does not report one: the tensor that ``backward`` is called on.

`torch.autograd.backward` is looked up at each call, by ``Tensor.backward`` too, so one wrapper around it sees
every loss of the process. `GradScaler.scale` is wrapped as well: what it multiplied is divided again.
Both are put back when the last `LossAtBackward` and the last listener are closed or gone.
"""

from __future__ import annotations

import functools
import math
import threading
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from vgrad.measure.uniform_guess import uniform_loss
from vgrad.watching.backward_call import BackwardListener, leaves_of, loss_of, root_of
from vgrad.watching.hooks import run_deferred
from vgrad.watching.other_threads import threads_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from vgrad.watching.guard import Guard

_NUM_LOOKED_AT = 4
_LOOK_UP_EVERY = 20  # steps
_MOST_ASKED = 16


@dataclass(slots=True)
class CaughtLoss:
    """The loss whose gradient some parameters hold.

    Attributes:
        loss: A float on a CPU, a 0-d tensor on an accelerator, where it is not read back; None where it is
            not known. Losses add up where their gradients do.
        scale: What a `GradScaler` multiplies it with, likewise; None where there is none.
        num_passes: Backward passes whose gradients add up; 0 where that is not known.
        uniform: What a uniform guess would have cost, see `vgrad.measure.uniform_guess`; NaN: not known.
    """

    loss: Tensor | float | None = None
    scale: Tensor | float | None = None
    num_passes: int = 0
    uniform: float = math.nan


class LossAtBackward:
    """Knows the loss of the gradients that the parameters of one optimizer hold now.

    A backward pass that changes none of their gradients is about something else. A few of them are looked at.
    While none of these has ever had a gradient, the loss is that of the last pass: it may be meant for them.
    Gradients that another thread trains are not looked at: torch writes them without holding the GIL, and
    reading ``p.grad`` at that moment crashes the process.

    Args:
        params: The parameters. Empty: take every backward pass to be theirs.
        guard: Takes errors of ours that must not reach the loop.
        after_backward: Called in the calling thread when a backward pass of theirs has ended.

    Attributes:
        guard: As given.
        is_open: Whether it catches losses.
        uniform_loss: What a uniform guess costs, as of the last step at which it was looked up: one in
            twenty, for a loop may change its loss. NaN: not known.
        looks_up_uniform: Whether this is such a step.
    """

    def __init__(
        self,
        params: Sequence[nn.Parameter],
        guard: Guard,
        after_backward: Callable[[], None] | None = None,
    ) -> None:
        self.guard = guard
        self.uniform_loss = math.nan
        self.looks_up_uniform = True
        self._num_taken = 0
        self._caught = CaughtLoss()
        self._is_used = True  # by a step: the next loss begins a new sum
        self._is_silent = True  # no gradient so far
        self._thread: int | None = None  # that trains these parameters; None while that is not known
        self._asked: Counter[int] = Counter()  # by thread: its passes that were found not to be theirs
        self._after_backward = after_backward
        self._before: list[int] = []
        self._last: list[int] = []
        self.use_params(params)
        self.open()

    def use_params(self, params: Sequence[nn.Parameter]) -> None:
        """Look at the gradients of these parameters from here on."""
        self._looked_at = params[:: max(1, len(params) // _NUM_LOOKED_AT)]

    def open(self) -> None:
        """Catch losses, again after `close`."""
        self.is_open = True
        _Wrappers.add(self)

    def close(self) -> None:
        """Catch no more; the last one takes the wrappers off. Closing twice is harmless."""
        self.is_open = False
        _Wrappers.discard(self)

    def take(self) -> CaughtLoss:
        """The loss that the step about to be done is about."""
        self._is_used = True
        if self._thread not in _Wrappers.threads:
            self._thread = threading.get_ident()
        if self.looks_up_uniform:
            self.uniform_loss = self._caught.uniform
        self.looks_up_uniform = self._num_taken % _LOOK_UP_EVERY == 0
        self._num_taken += 1
        return self._caught

    @property
    def num_passes(self) -> int:
        """Backward passes whose gradients add up now."""
        return self._caught.num_passes

    def begin(self) -> None:
        """The closure of this step is about to be called: its losses add to those that no step has used."""
        if self._is_used:
            self._caught = CaughtLoss()

    def may_look(self) -> bool:
        """Whether no other thread can be writing these gradients while this one runs a backward pass."""
        threads = _Wrappers.threads
        if not self._looked_at:
            return True
        return self._thread == threading.get_ident() if self._thread in threads else len(threads) == 1

    def claim(self, leaves: Callable[[], set[int]]) -> bool:
        """Whether a pass that begins is the first of these parameters, so that this thread trains them.

        Args:
            leaves: Returns what the pass writes gradients into, see `leaves_of`. It is asked for in the first
                passes of a thread alone, as walking through the graph takes a while.
        """
        this = threading.get_ident()
        if self._thread in _Wrappers.threads or self._asked[this] >= _MOST_ASKED:
            return False
        self._asked[this] += 1
        if leaves().isdisjoint(map(id, self._looked_at)):
            return False
        self._thread = this
        return True

    def before_backward(self) -> None:
        """A backward pass begins."""
        self._before = self._state()

    def after_backward(
        self, loss: Tensor | float | None, scale: Tensor | float | None, uniform: float
    ) -> None:
        """A backward pass has ended.

        Args:
            loss: Its loss, as in `CaughtLoss`.
            scale: What the loss was multiplied with.
            uniform: What a uniform guess would have cost; NaN where that is not known, or not looked up.
        """
        before, now = self._before, self._state()
        self._is_silent = self._is_silent and not any(now)
        last, self._last = self._last, now
        if before != now or not now:
            # Gradients that were cleared or written to meanwhile are not those of the losses so far.
            if self._is_used or before != last or not any(before):
                self._caught = CaughtLoss(loss, scale, 1, uniform)
            else:
                so_far = self._caught.loss
                total = None if loss is None or so_far is None else so_far + loss
                num_passes = self._caught.num_passes + 1
                self._caught = CaughtLoss(total, scale, num_passes, self._caught.uniform + uniform)
            self._is_used = False
            if self._after_backward is not None:
                self._after_backward()
        elif self._is_silent:
            self._caught, self._is_used = CaughtLoss(loss, scale, 0, uniform), False

    def _state(self) -> list[int]:
        """Changes whenever a gradient that is looked at is another one or is written to; zeros for None."""
        state = []
        for param in self._looked_at:
            grad = param.grad
            state.append(0 if grad is None else (id(grad) << 32) + grad._version)
        return state


def num_backward_passes() -> int:
    """Outermost backward passes of this process that have ended while the wrapper was on."""
    return _Wrappers.num_passes


def is_in_backward() -> bool:
    """Whether some thread runs a backward pass now."""
    return bool(_Wrappers.running)


class _Thread(threading.local):
    """What one thread is doing."""

    def __init__(self) -> None:
        self.is_in_backward = False
        self.scale: Tensor | float | None = None  # of a loss whose backward pass comes next


_thread = _Thread()


def listen(listener: BackwardListener) -> None:
    """Call ``listener`` around every outermost backward pass from now on."""
    _Wrappers.add_listener(listener)


def stop_listening(listener: BackwardListener) -> None:
    """Call ``listener`` no more; nothing happens if it was not called before."""
    _Wrappers.discard_listener(listener)


class _Wrappers:
    """The two functions of torch that are wrapped, and the objects they are wrapped for.

    A `LossAtBackward` is held weakly: with a model that nothing else holds, it is collected as well.
    """

    num_passes = 0
    running: ClassVar[set[int]] = set()  # threads that are inside a backward pass
    threads: frozenset[int] = frozenset()  # those that have run one and may still be there
    listeners: tuple[BackwardListener, ...] = ()
    _users: tuple[weakref.ref[LossAtBackward], ...] = ()
    _lock = threading.RLock()  # a part that is collected while it is held closes itself
    _backward: Any = None
    _scale: Any = None

    @classmethod
    def users(cls) -> list[LossAtBackward]:
        """Each `LossAtBackward` that still exists."""
        return [user for ref in cls._users if (user := ref()) is not None]

    @classmethod
    def add_thread(cls, thread: int) -> None:
        """Take it that ``thread`` runs backward passes, too."""
        with cls._lock:
            cls.threads = frozenset({thread} | (cls.threads & threads_alive()))

    @classmethod
    def add(cls, user: LossAtBackward) -> None:
        with cls._lock:
            cls._put_on()
            cls._users = (*cls._users, weakref.ref(user, cls._forget))

    @classmethod
    def discard(cls, user: LossAtBackward) -> None:
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
    def _forget(cls, gone: weakref.ref[LossAtBackward]) -> None:
        cls._keep(lambda ref: ref is not gone)

    @classmethod
    def _keep(cls, is_kept: Callable[[weakref.ref[LossAtBackward]], bool]) -> None:
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
            cls._backward = cls._scale = _thread.scale = None


def _put_back(owner: Any, name: str, original: Any) -> None:
    """Take our wrapper off, unless somebody has wrapped it again: then it stays and does nothing."""
    if getattr(getattr(owner, name), "_is_of_vgrad", False):
        setattr(owner, name, original)


def _wrapped_backward(original: Any) -> Any:
    # Right after a forward pass none of this is in the processor's caches: the fewer calls, the better.
    @functools.wraps(original)
    def backward(*args: Any, **kwargs: Any) -> Any:
        thread, listeners, users = _thread, _Wrappers.listeners, _Wrappers.users()
        is_wanted = listeners or users
        if thread.is_in_backward or not is_wanted:  # a pass inside another is of activation checkpointing
            return original(*args, **kwargs)
        this = threading.get_ident()
        if this not in _Wrappers.threads:
            _Wrappers.add_thread(this)
        run_deferred()
        scale, thread.scale = thread.scale, None
        if listeners:
            for listener in listeners:
                _call(listener.before_backward, listener.guard)
            users = _Wrappers.users()
        loss, uniform = _begin(users, args, kwargs, scale)
        thread.is_in_backward = True
        _Wrappers.running.add(this)
        try:
            result = original(*args, **kwargs)
        finally:
            thread.is_in_backward = False
            _Wrappers.running.discard(this)
            _Wrappers.num_passes += 1
        if listeners:
            for listener in listeners:
                _call(listener.after_backward, listener.guard)
            users = _Wrappers.users()
        _end(users, loss, scale, uniform)
        return result

    # Dynamo breaks its graph here, as it does at the original.
    outside: Any = torch.compiler.disable(backward)  # type: ignore[no-untyped-call]
    outside._is_of_vgrad = True
    return outside


def _begin(
    users: Sequence[LossAtBackward],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    scale: Tensor | float | None,
) -> tuple[Tensor | float | None, float]:
    """Tell ``users`` that a pass begins; its loss, and that of a uniform guess, NaN where it is not known."""
    loss, uniform = None, math.nan
    try:
        root, weight = root_of(args, kwargs)
        loss = loss_of(root, weight, scale)
        leaves = functools.cache(lambda: leaves_of(root))
        for user in users:
            if not user.may_look() and not user.claim(leaves):
                continue
            user.before_backward()
            if user.looks_up_uniform and loss is not None and scale is None and weight is None:
                uniform = uniform_loss(root)
    except Exception as error:  # noqa: BLE001  # none of ours may reach the user's loop
        for user in users:
            user.guard.caught(error)
    return loss, uniform


def _end(
    users: Sequence[LossAtBackward],
    loss: Tensor | float | None,
    scale: Tensor | float | None,
    uniform: float,
) -> None:
    """Tell ``users`` that the pass has ended, but those that were closed inside it."""
    for user in users:
        try:
            if user.is_open and user.may_look():
                user.after_backward(loss, scale, uniform)
        except Exception as error:  # noqa: BLE001  # as above
            user.guard.caught(error)


def _call(function: Callable[[], None], guard: Guard) -> None:
    try:
        function()
    except Exception as error:  # noqa: BLE001  # none of ours may reach the user's loop
        guard.caught(error)


def _wrapped_scale(original: Any) -> Any:
    @functools.wraps(original)
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        _thread.scale = getattr(self, "_scale", None) if self.is_enabled() else None
        return scaled

    scale._is_of_vgrad = True  # type: ignore[attr-defined]
    return scale
