"""One copy from device to host per step, which the host does not wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Devices whose copies to pinned memory run beside the computation, with an event to say when done.
ASYNCHRONOUS = ("cuda", "xpu")


class HostCopy:
    """Numbers on their way to the host, all in one copy.

    Args:
        scalars: Tensors of one number each, or floats.
        vectors: 1-d tensors, all on the scalars' device, or arrays; they must not be written to afterwards.
            Floats and arrays are on the host already, and nothing may come from a device beside them.

    Attributes:
        is_here: Whether reading never waits, for the numbers were on the host from the first.
    """

    __slots__ = ("_event", "_host", "_num_scalars", "_read", "is_here")

    def __init__(
        self, scalars: Sequence[Tensor | float], vectors: Sequence[Tensor | NDArray[np.floating]]
    ) -> None:
        first = scalars[0] if scalars else vectors[0]
        self.is_here = not isinstance(first, Tensor) or first.is_cpu
        if self.is_here:
            # Read now, for a loop may write into its loss next, and without another call into torch.
            self._read = [float(scalar) for scalar in scalars], _joined(vectors)
            return
        self._num_scalars = len(scalars)
        on_device = cast("Sequence[Tensor]", scalars), cast("Sequence[Tensor]", vectors)
        values = torch.cat([*(scalar.reshape(1) for scalar in on_device[0]), *on_device[1]])
        self._event: Any = None
        if values.device.type in ASYNCHRONOUS:
            self._host = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event = torch.Event(device=values.device)
            self._event.record()
        else:
            self._host = values.to("cpu")

    @property
    def is_ready(self) -> bool:
        """Whether `read` would not wait now."""
        return self.is_here or self._event is None or self._event.query()

    def read(self) -> tuple[list[float], NDArray[np.floating]]:
        """The scalars, and the vectors in a row, once they are there: a step later it does not wait."""
        if self.is_here:
            return self._read
        if self._event is not None:
            self._event.synchronize()
        array: NDArray[np.floating] = self._host.numpy()
        return array[: self._num_scalars].tolist(), array[self._num_scalars :]


def _joined(vectors: Sequence[Tensor | NDArray[np.floating]]) -> NDArray[np.floating]:
    arrays: list[NDArray[np.floating]] = [
        vector.numpy() if isinstance(vector, Tensor) else vector for vector in vectors
    ]
    if not arrays:
        return np.zeros(0, dtype=np.float32)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
