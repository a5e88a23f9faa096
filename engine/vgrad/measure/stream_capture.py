"""Whether CUDA records what it is given, instead of doing it: as a graph, to be replayed later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def is_capturing(tensor: Tensor) -> bool:
    """Whether what is done to ``tensor`` in this thread becomes part of a CUDA graph now.

    Meanwhile nothing may be read back or waited for: CUDA would refuse the whole graph, in somebody's loop.
    """
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
