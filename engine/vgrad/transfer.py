"""One copy from device to host per step, which nobody waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Devices whose copies to pinned memory run beside the computation, with an event to say when done.
_ASYNCHRONOUS = ("cuda", "xpu")


class HostCopy:
    """A vector of numbers on its way to the host.

    Args:
        values: 1-d tensor on any device. On a CPU it is read in place, without a copy.
    """

    __slots__ = ("_event", "_host")

    def __init__(self, values: Tensor) -> None:
        self._event: Any = None
        if values.device.type in _ASYNCHRONOUS:
            self._host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._host.copy_(values, non_blocking=True)
            self._event = torch.Event(device=values.device)
            self._event.record()
        else:
            self._host = values.to("cpu")

    def read(self) -> NDArray[np.floating]:
        """The numbers, once they are there: call it a step later and it does not wait."""
        if self._event is not None:
            self._event.synchronize()
        array: NDArray[np.floating] = self._host.numpy()
        return array
