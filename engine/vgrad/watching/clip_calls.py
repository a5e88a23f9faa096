"""Reports every call of torch's clipping functions, whatever name they were imported under.

All norm clipping of torch ends in one function, and all value clipping in another. Torch holds each in a
wrapper that switches autograd off. While calls are observed, the function in that wrapper is replaced. A call
that `torch.compile` has made part of a graph is not seen.
"""

from __future__ import annotations

import math
import threading
import weakref
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import clip_grad

from vgrad.watching.outside_modes import has_function_mode, num_dispatch_modes, outside_modes
from vgrad.watching.tracebacks import leave_out_this_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CellType

    from vgrad.watching.guard import Guard


@dataclass(frozen=True, slots=True)
class ClipCall:
    """A call that clips the gradients of some parameters.

    Attributes:
        label: Function and limit: ``clip_grad_norm_ 1``.
        params: The parameters.
        total: The norm that it clips by, 0-d; None where there is none.
        factor: What it multiplies every gradient with, 0-d; None where there is no such number.
    """

    label: str
    params: list[Tensor]
    total: Tensor | None = None
    factor: Tensor | None = None


class ClipObserver(Protocol):
    """What is called before and after each call that clips."""

    guard: Guard

    def before_clipping(self, call: ClipCall) -> None:
        """Gradients are about to be clipped."""

    def after_clipping(self, call: ClipCall) -> None:
        """They have been clipped."""


def observe(observer: ClipObserver) -> None:
    """Tell ``observer`` of every call from now on. It is held weakly."""
    global _observers  # noqa: PLW0603  # replaced as a whole, so that a call may go through it meanwhile
    with _lock:
        _observers = (*_observers, weakref.ref(observer, _keep_others))
        if not _originals:
            _put_on(clip_grad._clip_grads_with_norm_, _norm_call)
            _put_on(clip_grad.clip_grad_value_, _value_call)


def stop_observing(observer: ClipObserver) -> None:
    """Tell ``observer`` no more; when nobody is left, torch's functions are as they were."""
    for ref in _observers:
        if ref() is observer:
            _keep_others(ref)


def _keep_others(gone: weakref.ref[ClipObserver]) -> None:
    global _observers  # noqa: PLW0603  # as above
    with _lock:
        _observers = tuple(ref for ref in _observers if ref is not gone)
        if not _observers:
            while _originals:
                cell, original = _originals.pop()
                cell.cell_contents = original


_observers: tuple[weakref.ref[ClipObserver], ...] = ()
_originals: list[tuple[CellType, Any]] = []
_lock = threading.RLock()


def inner_cell(function: Any) -> CellType | None:
    """The cell in which torch's wrapper holds the function itself; None where it is made in another way."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return cells.get("func")


def _put_on(function: Any, call_of: Callable[..., ClipCall | None]) -> None:
    cell = inner_cell(function)
    if cell is not None:  # else these calls are not seen, and norms are those after them
        _originals.append((cell, cell.cell_contents))
        cell.cell_contents = _observed(cell.cell_contents, call_of)


def _observed(original: Any, call_of: Callable[..., ClipCall | None]) -> Any:
    def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return original(parameters, *args, **kwargs)
        try:
            params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
            observers = [observer for ref in _observers if (observer := ref()) is not None]
            call = _call(observers, partial(call_of, params, *args, **kwargs))
            if call is None:
                return original(params, *args, **kwargs)
            for observer in observers:
                _call([observer], partial(observer.before_clipping, call))
            result = original(params, *args, **kwargs)
            for observer in observers:
                _call([observer], partial(observer.after_clipping, call))
        except BaseException as error:
            leave_out_this_frame(error)
            raise
        return result

    return clip


def _call(observers: list[ClipObserver], function: Callable[[], Any]) -> Any:
    try:
        if num_dispatch_modes() or has_function_mode():
            return outside_modes(function)
        return function()
    except Exception as error:  # noqa: BLE001  # none of ours may reach the user's loop
        for observer in observers:
            observer.guard.caught(error)
        return None


def _norm_call(params: list[Tensor], max_norm: float, total_norm: Any, *_: Any, **__: Any) -> ClipCall | None:
    limit = float(max_norm)
    if math.isinf(limit):
        return None  # a way to measure the norm
    label = f"clip_grad_norm_ {limit:g}"
    if type(total_norm) is not Tensor:
        return ClipCall(label, params)
    factor = torch.clamp(limit / (total_norm + 1e-6), max=1.0)  # as torch itself computes it
    return ClipCall(label, params, total_norm, factor)


def _value_call(params: list[Tensor], clip_value: float, *_: Any, **__: Any) -> ClipCall:
    return ClipCall(f"clip_grad_value_ {float(clip_value):g}", params)
