"""Random numbers for one transform alone, so that all other random numbers of the run stay the same."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from vgrad.methods.transform import GradTransform

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vgrad.gradients.grads import Grads


class RandomTransform(GradTransform):
    """A transform whose memory is a generator of its own, and nothing else."""

    __slots__ = ()

    def start(self, grads: Grads, *, seed: int) -> torch.Generator:
        """Return a generator on the gradients' device, seeded from ``seed`` and the class's name.

        Two methods with one seed never get the same generator: their names' checksums differ in the
        32 bits that torch's generator on a CPU looks at.
        """
        generator = _generator(grads.tensors[0].device)
        return generator.manual_seed(seed ^ zlib.crc32(type(self).__name__.encode()))

    def capture(self, memory: torch.Generator) -> Tensor:
        """Return the generator's state, uint8 on the CPU."""
        return memory.get_state()

    def restore(self, captured: Tensor, *, device: torch.device) -> torch.Generator:
        """Return a generator in the state that `capture` returned."""
        return _generator(device).set_state(captured)


def _generator(device: torch.device) -> torch.Generator:
    import torch

    # `meta` tensors, which have no entries to draw, have no generator either.
    return torch.Generator("cpu" if device.type == "meta" else device)
