"""Keeps Dynamo out of our hooks, at less than `torch.compiler.disable` costs where nothing is compiled."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch._C._dynamo import eval_frame

from vgrad.watching.tracebacks import leave_out_this_frame

if TYPE_CHECKING:
    from collections.abc import Callable


def outside_dynamo(function: Callable[..., Any], instead_of: Callable[..., Any] | None = None) -> Any:
    """``function`` as ordinary Python: Dynamo breaks its graph where it is called, and does not look inside.

    `torch.compiler.disable` alone switches Dynamo off and on again around each call. That takes longer than
    the call itself, with code that is not in the processor's caches after a backward pass. Here it is done
    only where Dynamo is on.

    Args:
        function: What is to be called.
        instead_of: The function whose name and documentation the result has; ``function`` unless given.
    """
    from torch._dynamo.eval_frame import skip_code

    disabled: Callable[..., Any] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    compiler = getattr(eval_frame, "get_eval_frame_callback", None)
    if compiler is None:  # another version of torch
        return disabled

    @functools.wraps(instead_of or function, updated=())
    def outside(*args: Any, **kwargs: Any) -> Any:
        try:
            return (function if compiler() is None else disabled)(*args, **kwargs)
        except BaseException as error:
            leave_out_this_frame(error)
            raise

    skip_code(outside.__code__)  # type: ignore[attr-defined]
    outside._torchdynamo_disable = True  # type: ignore[attr-defined]
    return outside
