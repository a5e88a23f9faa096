"""The expensive statistics of every layer, as arrays: a row per layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32s = NDArray[np.float32]
    Int64s = NDArray[np.int64]


# Bins of `LayerStats.histogram`: decades of |gradient entry|, from 1e-14 to 1e2.
HISTOGRAM_DECADES = (-14, 2)


@dataclass(frozen=True, slots=True, eq=False)
class LayerStats:
    """The expensive statistics, each measured as recently as the budget allowed. NaN: not measured yet.

    A layer that had no gradient when it was measured has NaN in the columns of its gradient.

    Every array has a row per layer, in the order of `RunInfo.layers`.

    Attributes:
        measured_step: Step at which the row was measured, int64; -1 for never.
        entries_step: Step at which the largest entry, the non-finite entries and the histogram were
            measured, int64; -1 for never. The other columns may be newer.
        weight_norm: L2 norm of the layer's weights.
        update_ratio: L2 norm of the real update over that of the weights. NaN where it is not known, as in
            loops that move the weights by hand; see `knows_update`.
        grad_max: Largest absolute entry of the gradient, before any transform.
        zero_share: Share of exactly zero gradient entries, in [0, 1].
        underflow_share: Share of entries that float16 would round to zero at the present loss scale.
        num_non_finite: Number of entries that are NaN or inf.
        histogram: Shares of gradient entries by magnitude, float32 of shape
            ``(num_layers, num_decades)``; the decades are `HISTOGRAM_DECADES`.
    """

    measured_step: Int64s
    entries_step: Int64s
    weight_norm: Float32s
    update_ratio: Float32s
    grad_max: Float32s
    zero_share: Float32s
    underflow_share: Float32s
    num_non_finite: Float32s
    histogram: Float32s

    @property
    def knows_update(self) -> NDArray[np.bool_]:
        """Whether each update ratio says something, shape ``(num_layers,)``.

        NaN says that the update is not known, unless the weights themselves are not finite.
        """
        is_number: NDArray[np.bool_] = ~np.isnan(self.update_ratio)
        return (self.measured_step >= 0) & (is_number | ~np.isfinite(self.weight_norm))

    @property
    def had_gradient(self) -> NDArray[np.bool_]:
        """Whether each layer had a gradient when its entries were measured, shape ``(num_layers,)``."""
        return (self.entries_step >= 0) & ~np.isnan(self.num_non_finite)

    def with_newer(self, other: LayerStats) -> LayerStats:
        """These statistics, with those of ``other`` for the layers that it has measured later."""
        is_newer = other.measured_step > self.measured_step
        columns = {
            name: np.where(is_newer, getattr(other, name), getattr(self, name))
            for name in ("measured_step", "weight_norm", "update_ratio", "zero_share", "underflow_share")
        }
        return replace(self, **columns)
