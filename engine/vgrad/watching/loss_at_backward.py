"""Catches the loss of a training loop that announces none, where it must come by: at ``backward``.

`torch.autograd.backward` is looked up at each call, by ``Tensor.backward`` too, so one wrapper around it sees
every loss of the process. `GradScaler.scale` is wrapped as well: what it multiplied is divided again.
Both are put back when the last `LossAtBackward` is closed.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.watching.hooks import run_deferred

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class CaughtLoss:
    """The loss whose gradient the parameters hold now.

    Attributes:
        loss: Sum of the losses since the last optimizer step: a float on a CPU, a 0-d tensor on an
            accelerator, where it is not read back; None where it is not known.
        scale: What a `GradScaler` multiplies it with, likewise; None where there is none.
    """

    loss: Tensor | float | None = None
    scale: Tensor | float | None = None


class _Thread(threading.local):
    """What one thread has caught: gradients of one thread's losses are used by that thread's steps."""

    def __init__(self) -> None:
        self.caught = CaughtLoss()
        self.is_used = True  # by a step: the next loss begins a new sum
        self.scale: Tensor | float | None = None
        self.depth = 0


_thread = _Thread()


class LossAtBackward:
    """Keeps the wrappers in place until `close`.

    Args:
        after_backward: Called in the calling thread when an outermost backward pass has ended.
    """

    def __init__(self, after_backward: Callable[[], None] | None = None) -> None:
        self._after_backward = after_backward
        _Wrappers.add(self)

    def take(self) -> CaughtLoss:
        """The loss that the step about to be done is about, in the calling thread.

        Losses add up, as their gradients do, until an optimizer step has used them; a second optimizer that
        steps after the same backward pass gets the same loss.
        """
        thread = _thread
        thread.is_used = True
        return thread.caught

    def begin(self) -> None:
        """Forget losses that no step has used: those to come in this thread make a sum of their own."""
        _thread.caught = CaughtLoss()
        _thread.is_used = True

    def ended(self) -> None:
        """Called when a backward pass has ended."""
        if self._after_backward is not None:
            self._after_backward()

    def close(self) -> None:
        """Catch no more; the last one takes the wrappers off. Closing twice is harmless."""
        _Wrappers.discard(self)


class _Wrappers:
    """The two functions of torch that are wrapped, and for whom."""

    _lock = threading.Lock()
    _users: tuple[LossAtBackward, ...] = ()
    _backward: Any = None
    _scale: Any = None

    @classmethod
    def add(cls, user: LossAtBackward) -> None:
        with cls._lock:
            if not cls._users:
                user.begin()
                cls._backward, cls._scale = torch.autograd.backward, torch.amp.GradScaler.scale
                torch.autograd.backward = _wrapped_backward(cls._backward)
                torch.amp.GradScaler.scale = _wrapped_scale(cls._scale)  # type: ignore[method-assign]
            cls._users = (*cls._users, user)

    @classmethod
    def discard(cls, user: LossAtBackward) -> None:
        with cls._lock:
            if user not in cls._users:
                return
            cls._users = tuple(other for other in cls._users if other is not user)
            if not cls._users:
                _put_back(torch.autograd, "backward", cls._backward)
                _put_back(torch.amp.GradScaler, "scale", cls._scale)
                user.begin()

    @classmethod
    def ended(cls) -> None:
        for user in cls._users:
            user.ended()


def _put_back(owner: Any, name: str, original: Any) -> None:
    """Take our wrapper off, unless somebody has wrapped it again: then it stays and does nothing."""
    if getattr(getattr(owner, name), "_is_of_vgrad", False):
        setattr(owner, name, original)


def _wrapped_backward(original: Any) -> Any:
    @functools.wraps(original)
    def backward(*args: Any, **kwargs: Any) -> Any:
        thread = _thread
        if thread.depth or not _Wrappers._users:
            return original(*args, **kwargs)  # a backward pass inside another: checkpointing
        run_deferred()
        _catch(thread, args, kwargs)
        thread.depth = 1
        try:
            result = original(*args, **kwargs)
        finally:
            thread.depth = 0
        _Wrappers.ended()
        return result

    # Dynamo breaks its graph here, as it does at the original.
    outside: Any = torch.compiler.disable(backward)  # type: ignore[no-untyped-call]
    outside._is_of_vgrad = True
    return outside


def _wrapped_scale(original: Any) -> Any:
    @functools.wraps(original)
    def scale(self: Any, outputs: Any) -> Any:
        scaled = original(self, outputs)
        _thread.scale = getattr(self, "_scale", None) if self.is_enabled() else None
        return scaled

    scale._is_of_vgrad = True  # type: ignore[attr-defined]
    return scale


def _catch(thread: _Thread, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    root = args[0] if args else kwargs.get("tensors")
    weight = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
    scale, thread.scale = thread.scale, None
    loss = _loss_of(root, weight, scale)
    if thread.is_used:
        thread.caught = CaughtLoss(loss, scale)
        thread.is_used = False
        return
    before = thread.caught
    total = None if loss is None or before.loss is None else before.loss + loss
    thread.caught = CaughtLoss(total, scale if scale is not None else before.scale)


def _loss_of(root: Any, weight: Any, scale: Tensor | float | None) -> Tensor | float | None:
    """The value of a loss of one entry, before it was scaled; None for anything else."""
    if isinstance(root, tuple | list) and len(root) == 1:
        [root] = root
    if isinstance(weight, tuple | list) and len(weight) == 1:
        [weight] = weight
    if (
        not isinstance(root, Tensor)
        or root.numel() != 1
        or root.is_complex()
        or isinstance(weight, tuple | list)
    ):
        return None
    if root.is_cpu:  # read now: a loop may write into its loss
        value = root.item() if weight is None else root.item() * weight.item()
        return value if scale is None else value / float(scale)
    with torch.no_grad():
        value = root.detach().reshape(()).clone()
        if weight is not None:
            value *= weight.reshape(())
        return value if scale is None else value / scale
