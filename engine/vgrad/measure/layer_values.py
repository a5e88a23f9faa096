"""A row of numbers for each layer, and the step at which each row was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# At and below this, times the loss scale, a float16 gradient is rounded to zero: half its smallest number.
UNDERFLOW = 2.0**-25


class LayerValues:
    """The newest numbers of every layer; none are known at first.

    Args:
        num_layers: Layers.
        width: Numbers of each.

    Attributes:
        values: Shape ``(num_layers, width)``, float32; NaN where nothing was measured.
        measured_step: Step of each row, int64; -1 where nothing was measured.
    """

    def __init__(self, num_layers: int, width: int) -> None:
        self.values: NDArray[np.float32] = np.full((num_layers, width), np.nan, dtype=np.float32)
        self.measured_step: NDArray[np.int64] = np.full(num_layers, -1, dtype=np.int64)

    def put(self, layers: Sequence[int] | slice, values: NDArray[np.floating], step: int) -> None:
        """Keep the rows of these layers, ``(len(layers), width)``, as measured at ``step``."""
        self.values[layers] = values
        self.measured_step[layers] = step

    def forget(self) -> None:
        """Know nothing again."""
        self.values.fill(np.nan)
        self.measured_step.fill(-1)

    def capture(self) -> dict[str, Tensor]:
        """Return the values and the steps at which they were measured."""
        return {
            "values": torch.from_numpy(self.values.copy()),
            "measured_step": torch.from_numpy(self.measured_step.copy()),
        }

    def restore_(self, captured: Mapping[str, Tensor]) -> None:
        """Go back to what `capture` returned.

        Raises:
            ValueError: If it has another number of layers.
        """
        values, measured_step = captured["values"].numpy(), captured["measured_step"].numpy()
        if values.shape != self.values.shape or measured_step.shape != self.measured_step.shape:
            raise ValueError("the statistics are those of other layers")
        self.values, self.measured_step = values.copy(), measured_step.copy()
