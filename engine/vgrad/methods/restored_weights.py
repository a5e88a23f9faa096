"""A short way off the weights and back: passes elsewhere, the weights as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def restored(params: Sequence[Tensor]) -> Iterator[None]:
    """Bring back ``params``, bit for bit, whatever is written to them inside; also if it raises.

    From copies: adding and subtracting again would leave rounding behind. Run the backward pass
    inside, too: autograd refuses a graph whose weights were written since.
    """
    import torch

    copies = [param.detach().clone() for param in params]
    try:
        yield
    finally:
        if copies:  # torch refuses an empty list
            with torch.no_grad():
                torch._foreach_copy_(list(params), copies)
