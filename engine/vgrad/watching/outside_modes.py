"""Keeps the modes that a loop has switched on from seeing what watching computes.

A `TorchDispatchMode` or `TorchFunctionMode` sees every operation of its thread: one counts them, another
prints them, a default device is one. What it sees is to be the loop's own operations and no others.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _python_dispatch

if TYPE_CHECKING:
    from collections.abc import Callable


def _nothing() -> int:
    return 0


_modes_off = getattr(_python_dispatch, "_disable_current_modes", None)  # another version of torch: None

# Functions of C, asked in every step: of two that find nothing each takes 0.05 us.
num_dispatch_modes: Callable[[], int] = (
    _nothing if _modes_off is None else getattr(torch._C, "_len_torch_dispatch_stack", _nothing)
)
"""How many `TorchDispatchMode` the calling thread is inside of."""
has_function_mode: Callable[[], int] = getattr(torch._C, "_is_torch_function_mode_enabled", _nothing)
"""Whether it is inside of a `TorchFunctionMode`, and not inside `outside_modes`."""


def outside_modes(function: Callable[..., Any], *args: Any) -> Any:
    """What ``function`` returns, called with all modes of the calling thread off.

    To be called only where there are some: finding that out takes less than calling this.
    """
    with torch._C.DisableTorchFunction(), nullcontext() if _modes_off is None else _modes_off():
        return function(*args)
