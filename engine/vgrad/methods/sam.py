"""Sharpness-aware minimisation: the gradient at the nearby weights with the largest loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from vgrad.methods.restored_weights import restored
from vgrad.validation import positive_float

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class SAM:
    """Step with the gradient at ``p + e``, where ``e`` points uphill and is ``rho`` long.

    Seeks flat minima, which often generalise better; costs a second forward and backward pass.

    Args:
        rho: Length of the look-ahead in the space of all weights.

    Raises:
        ConfigError: If ``rho`` is not a number from 1e-30 to 1e6.

    Source:
        Foret et al. 2020, arXiv:2010.01412, eq. 2 and 3 (p = 2), rho = 0.05.
    """

    needs_dense: ClassVar[bool] = True

    rho: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "rho", positive_float("rho", self.rho, at_most=1e6))


def sam_backward(loss_fn: Callable[[], Tensor], params: Sequence[Tensor], *, rho: float = 0.05) -> Tensor:
    """Add the gradient at ``p + e`` to ``p.grad``, as ``loss.backward()`` adds the one at ``p``.

    The first pass, at the weights themselves, only finds the direction of ``e`` and does not change
    ``p.grad``. A zero gradient has no direction: the second pass then repeats the first. A gradient
    that is not finite becomes NaN. A loss scale cancels out of ``e``. Nothing is read back to the host.

    Args:
        loss_fn: Runs the forward pass and returns the loss, 0-d. Called twice: random layers
            draw twice, and running statistics (batch norm) see the batch twice.
        params: All trainable parameters, on one device. Restored bit for bit, also if a pass raises.
            Those that the loss does not depend on are not moved.
        rho: Length of ``e``.

    Returns:
        The first loss, at the weights themselves, 0-d and detached.

    Source:
        Foret et al. 2020, arXiv:2010.01412, algorithm 1.
    """
    import torch

    loss = loss_fn()
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(loss, list(params), allow_unused=True)
    found = [
        (param, grad)
        for param, grad in zip(params, gradients, strict=True)
        if grad is not None and grad.numel()  # nothing has no largest entry
    ]
    moved, uphill = [param for param, _ in found], [grad for _, grad in found]
    with restored(moved):
        if uphill:
            with torch.no_grad():
                torch._foreach_add_(moved, _unit_vector(uphill), alpha=rho)
        loss_fn().backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
    return loss.detach()


def _unit_vector(tensors: list[Tensor]) -> tuple[Tensor, ...]:
    """``tensors`` divided by their joint L2 norm; zeros if that is 0.

    They are divided by the largest entry first: the squares of float32 entries below 1e-23 underflow,
    so that the norm would be too small and the step uphill too long.
    """
    import torch

    # Half precision holds no sum of many squares; its tensors are divided in float32 anyway.
    dtype = reduce(torch.promote_types, {tensor.dtype for tensor in tensors}, torch.float32)
    largest = torch.stack(torch._foreach_norm(tensors, math.inf)).max().to(dtype)
    scaled = torch._foreach_div(tensors, torch.where(largest == 0, 1.0, largest))
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(scaled, 2, dtype=dtype)))
    return torch._foreach_div(scaled, torch.where(norm == 0, 1.0, norm))
