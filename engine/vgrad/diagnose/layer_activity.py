"""Which layers get any gradient at all, and since when not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vgrad.diagnose.part import JudgePart

_FADED = 1e-6  # of its first gradient: what is cut off at once was larger
_MOST_NAMES = 4
SILENT_STEPS = 100  # a gradient that is exactly zero for fewer steps may be that of a few batches


class LayerActivity(JudgePart):
    """Follows for each layer whether its gradient is exactly zero.

    A layer that never got a gradient is not used: an expert that is never chosen, a branch times 0. Only what
    got some before can have lost it.

    Args:
        num_layers: Number of layers.

    Attributes:
        ever: Whether the layer ever got a gradient, shape ``(num_layers,)``.
        zero_steps: For how many steps in a row its gradient has been exactly zero, same shape.
        last_norm: Norm of its last gradient that was not zero; 0 where there was none.
        first_norm: Norm of its first one.
    """

    def __init__(self, num_layers: int) -> None:
        self.ever = np.zeros(num_layers, dtype=bool)
        self.zero_steps = np.zeros(num_layers, dtype=np.int64)
        self.last_norm = np.zeros(num_layers)
        self.first_norm = np.zeros(num_layers)
        self._num_used = 0

    def observe(self, grad_norms: NDArray[np.float32]) -> None:
        """Take the finite norms of one step into account, shape ``(num_layers,)``."""
        is_all_used = self._num_used == len(self.ever)
        if is_all_used and np.count_nonzero(grad_norms) == len(self.ever):
            self.zero_steps[:] = 0  # as nearly every step: what follows would come to the same
            self.last_norm[:] = grad_norms
            return
        gets_some = grad_norms > 0
        if not is_all_used:
            is_new = gets_some & ~self.ever
            if is_new.any():
                self.first_norm[is_new] = grad_norms[is_new]
                self.ever |= is_new
                self._num_used = int(self.ever.sum())
        self.zero_steps += 1
        self.zero_steps[gets_some] = 0
        np.copyto(self.last_norm, grad_norms, where=gets_some)

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Layers whose gradient has been exactly zero for 100 steps."""
        return self.zero_steps >= SILENT_STEPS

    @property
    def unused(self) -> NDArray[np.bool_]:
        """Layers that have been watched for 100 steps and never got a gradient."""
        return ~self.ever & self.silent

    @property
    def has_faded(self) -> bool:
        """Whether the last gradient of a silent layer was far smaller than its first."""
        gone = self.silent & self.ever
        return bool((self.last_norm[gone] < _FADED * self.first_norm[gone]).any())

    def ends(self) -> tuple[int, int]:
        """Indices of the first and the last layer that ever got a gradient; of all layers if none did."""
        used = np.flatnonzero(self.ever)
        return (int(used[0]), int(used[-1])) if used.size else (0, len(self.ever) - 1)


def names_in_words(layers: Sequence[str], indices: NDArray[np.intp]) -> str:
    """The first names of these layers, and how many more there are."""
    shown = ", ".join(layers[index] for index in indices[:_MOST_NAMES])
    num_more = len(indices) - _MOST_NAMES
    return f"{shown} and {num_more} more layers" if num_more > 0 else shown
