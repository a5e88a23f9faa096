"""What happens to gradients between backward and the optimizer: one idea per file.

A transform is a frozen value that checks itself when made and changes gradients in place.
It never reads a number back to the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vgrad.transforms.clip import Clip, ClipGradNorm, ClipGradValue

if TYPE_CHECKING:
    from vgrad.grads import Grads

__all__ = ["Clip", "ClipGradNorm", "ClipGradValue", "GradTransform"]


class GradTransform(Protocol):
    """Changes all gradients of one optimizer step in place."""

    def apply_(self, grads: Grads, *, step: int) -> None:
        """Change ``grads`` in place, before optimizer step number ``step``."""
