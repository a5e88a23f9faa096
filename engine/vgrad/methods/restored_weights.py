"""Forward and backward passes at changed weights, which are put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def restored(params: Sequence[Tensor]) -> Iterator[None]:
    """Put back ``params``, bit for bit, whatever is written to them inside, also after an exception.

    They are put back from copies, because subtracting what was added would leave rounding errors. Run
    the backward pass inside, too: autograd refuses a graph whose weights have been written since.
    """
    import torch

    copies = [param.detach().clone() for param in params]
    try:
        yield
    finally:
        if copies:  # torch refuses an empty list
            with torch.no_grad():
                torch._foreach_copy_(list(params), copies)
