"""Frees the parts whose optimizers nobody holds any more, and the models with them."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from vgrad.watching.signals_later import signals_later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.watching.part import WatchedPart
    from vgrad.watching.watch import Watch

_LARGE = 64 << 20  # bytes of parameters
_MANY = 16


class UnusedParts:
    """Collects the parts of ``watch`` that are gone, before it gets more.

    A part refers to its optimizer and model, and they to it, so only a garbage collection frees them. One
    takes 0.1 s or more, and a script that makes many optimizers, of small models one after the other or one
    for each epoch, would spend most of its time in these. So there is one in 16 calls, unless the parts hold
    64 MiB.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._num_calls = 0

    def collect(self) -> None:
        """Free those that are gone, if that is due. The caller must hold none of them."""
        self._num_calls += 1
        is_due = not self._num_calls % _MANY
        if is_due or _num_bytes(self._watch.parts) >= _LARGE:
            with signals_later():
                gc.collect()


def _num_bytes(parts: Sequence[WatchedPart]) -> int:
    return sum(param.nbytes for part in parts for param in part.tap.layers.params)
