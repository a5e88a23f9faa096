"""Random numbers of a transform's own, so that the run's other random numbers stay as they were."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from vgrad.gradients.grads import Grads


def own_generator(grads: Grads, *, seed: int, method: str) -> torch.Generator:
    """Return a generator on the gradients' device, seeded from ``seed`` and ``method``.

    Two methods with one seed never get the same generator: their names' checksums differ in the
    32 bits that torch's generator on a CPU looks at.
    """
    import torch

    device = grads.tensors[0].device
    # `meta` tensors, which have no entries to draw, have no generator either.
    generator = torch.Generator("cpu" if device.type == "meta" else device)
    return generator.manual_seed(seed ^ zlib.crc32(method.encode()))
