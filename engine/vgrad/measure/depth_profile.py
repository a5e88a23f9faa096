"""How the gradient changes with depth: how small it is in the first layers, and how fast it decays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def grad_rms(norms: ArrayLike, sizes: ArrayLike) -> NDArray[np.float64]:
    """Return the root-mean-square gradient entry of each layer, so that layers of different sizes compare.

    Args:
        norms: L2 norm of each layer's gradient, shape ``(num_layers,)``.
        sizes: Number of entries of each, same shape.

    Returns:
        ``‖g‖ / sqrt(size)``, shape ``(num_layers,)``; NaN for a layer without entries.

    Raises:
        ValueError: If the shapes differ or are not one-dimensional.
    """
    norm, size = np.asarray(norms, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if norm.ndim != 1 or norm.shape != size.shape:
        raise ValueError(f"norms and sizes must be vectors of one length, got {norm.shape} and {size.shape}")
    return norm / np.sqrt(np.where(size > 0, size, np.nan))


def first_to_last(norms: ArrayLike, sizes: ArrayLike) -> float:
    """Return R, the rms gradient of the first layer over that of the last.

    0 if the first layer's gradient is zero. NaN where R is undefined: fewer than two layers with
    entries, a norm of either that is not finite, or a last layer without a gradient.

    Args:
        norms: As in `grad_rms`, first layer first.
        sizes: As in `grad_rms`.
    """
    rms = grad_rms(norms, sizes)
    ends = rms[np.asarray(sizes) > 0][[0, -1]] if np.count_nonzero(np.asarray(sizes) > 0) > 1 else rms[:0]
    if not ends.size or not np.isfinite(ends).all() or ends[1] == 0:
        return math.nan
    return float(ends[0] / ends[1])


def depth_slope(norms: ArrayLike, sizes: ArrayLike) -> float:
    """Return how log10 of the rms gradient grows with depth, in decades per layer.

    Positive where the gradient fades on its way back to the first layer, negative where it grows.
    A straight line by least squares, through the layers whose gradient is finite and not zero, at
    their own places in depth: one dead layer bends nothing. NaN if there are fewer than two.

    Args:
        norms: As in `grad_rms`, first layer first.
        sizes: As in `grad_rms`.
    """
    rms = grad_rms(norms, sizes)
    places = np.flatnonzero(np.isfinite(rms) & (rms > 0))
    if len(places) < 2:
        return math.nan
    depth = places - places.mean()
    return float(depth @ np.log10(rms[places]) / (depth @ depth))
