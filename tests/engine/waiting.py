"""What must not wait for an accelerator, held to it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vgrad.watching import backward_hooks, clip_calls, closures, guard, hooks

aten = torch.ops.aten


@contextmanager
def no_waiting() -> Iterator[None]:
    """Make whatever waits for the CUDA device raise."""
    try:
        with warnings.catch_warnings():
            # torch says that this mode does not find every wait
            warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class CountReadBacks(TorchDispatchMode):
    """Counts what leaves the `meta` device, and answers with made-up numbers: 1, 2, 3 … per copy.

    It sees what watching computes, too, which no mode of a script does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self._as_seen = ExitStack()

    def __enter__(self) -> Self:
        for module in (backward_hooks, clip_calls, closures, guard, hooks):
            for name in ("num_dispatch_modes", "has_function_mode"):
                self._as_seen.enter_context(patch.object(module, name, lambda: 0))
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._as_seen.close()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is aten._local_scalar_dense.default:
            self.seen["scalar"] += 1
        if function is aten._to_copy.default and args[0].is_meta and str(kwargs.get("device")) == "cpu":
            self.seen["copy"] += 1
            return torch.full(
                args[0].shape, float(self.seen["copy"]), dtype=kwargs.get("dtype") or args[0].dtype
            )
        if function is aten.copy_.default and args[1].is_meta and not args[0].is_meta:
            self.seen["copy"] += 1
            return args[0].fill_(float(self.seen["copy"]))
        return function(*args, **kwargs)
