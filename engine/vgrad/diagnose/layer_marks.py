"""A mark for each single layer: what stands out about its gradient at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.verdict import Verdict

# In the order of how much they matter.
OK, TINY, ZERO, HOT, NON_FINITE = range(5)
MARK_WORDS = ("ok", "tiny", "zero", "hot", "non-finite")

_TINY_SHARE = 1e-5
_ZERO_SHARE = 0.9
_HOT_UPDATE = 0.1


def mark_layers(
    grad_norms: NDArray[np.float32],
    sizes: NDArray[np.float64],
    stats: LayerStats | None,
    verdict: Verdict | None = None,
) -> NDArray[np.uint8]:
    """Mark each layer by its gradient: a warning, not a verdict on the run.

    Args:
        grad_norms: L2 norms per layer, shape ``(num_layers,)``.
        sizes: Entries per layer, same shape.
        stats: Statistics of the same layers, or None.
        verdict: The verdict on the run: a layer that it calls vanishing is not marked as ok.

    Returns:
        ``NON_FINITE`` where the norm is inf or NaN; ``HOT`` where a step moves the weights by
        more than a tenth; ``ZERO`` where at least 90 % of the entries (or all) are exactly zero;
        ``TINY`` where the root mean square is below 1e-5 of the largest layer's, or the verdict says that
        the layer's gradient vanishes; else ``OK``.
    """
    marks = np.full(len(grad_norms), OK, dtype=np.uint8)
    finite = np.isfinite(grad_norms)
    rms = grad_norms / np.sqrt(sizes)
    largest = rms[finite].max(initial=0.0)
    marks[rms < _TINY_SHARE * largest] = TINY
    if verdict is not None and verdict.kind == "vanishing":
        marks[[index for index in verdict.layers if index < len(marks)]] = TINY
    marks[grad_norms == 0] = ZERO
    if stats is not None:
        marks[stats.zero_share >= _ZERO_SHARE] = ZERO
        marks[stats.update_ratio > _HOT_UPDATE] = HOT
    marks[~finite] = NON_FINITE
    return marks
