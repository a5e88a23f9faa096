"""What the tests of all transforms share: gradients to draw from, and a step to apply one in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from tests.engine.toys import grads_of
from torch import Tensor, nn

from vgrad.gradients.grads import Grads
from vgrad.methods.transform import GradTransform

SHAPES = [(), (1,), (7,), (3, 5), (1, 4), (4, 1), (2, 3, 4), (0,), (3, 0), (130, 130)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]

# How far a result may be from torch's: both round each entry once to the dtype, and torch rounds the
# norm of half-precision gradients to it as well.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@st.composite
def gradients(
    draw: st.DrawFn, dtypes: Sequence[torch.dtype] = DTYPES, shapes: Sequence[tuple[int, ...]] = SHAPES
) -> list[Tensor]:
    """Tensors of one dtype, of any shapes and of any scale that half precision holds; some are zero."""
    dtype = draw(st.sampled_from(dtypes))
    chosen = draw(st.lists(st.sampled_from(shapes), min_size=1, max_size=6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scales = [10.0 ** draw(st.integers(-3, 2)) * draw(st.sampled_from([1, 1, 1, 0])) for _ in chosen]
    return [
        (scale * torch.randn(shape, generator=generator)).to(dtype)
        for scale, shape in zip(scales, chosen, strict=True)
    ]


def weights_like(tensors: list[Tensor], *, seed: int = 0, scale: float = 1.0) -> list[nn.Parameter]:
    """Weights of the shapes and dtypes of ``tensors``."""
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter((scale * torch.randn(tensor.shape, generator=generator)).to(tensor.dtype))
        for tensor in tensors
    ]


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def apply_(
    transform: GradTransform,
    tensors: list[Tensor],
    params: Sequence[nn.Parameter] = (),
    *,
    step: int = 1,
    seed: int = 0,
) -> Grads:
    """Apply a transform once, with a new memory."""
    grads = grads_of(tensors, params)
    transform.apply_(grads, transform.start(grads, seed=seed), step=step)
    return grads


class Steps:
    """Applies a transform step after step, with one memory."""

    def __init__(self, transform: GradTransform, *, seed: int = 0) -> None:
        self.transform = transform
        self.memory: Any = None
        self._seed = seed
        self._step = 0

    @torch.no_grad()
    def apply_(self, grads: Grads) -> None:
        if self._step == 0:
            self.memory = self.transform.start(grads, seed=self._seed)
        self._step += 1
        self.transform.apply_(grads, self.memory, step=self._step)


def train(
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[], Tensor],
    num_steps: int,
    transform: GradTransform | None = None,
    *,
    first_step: int = 1,
) -> list[list[Tensor]]:
    """Train with ``transform`` from step ``first_step`` on; return the weights before and after every one."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    steps = None if transform is None else Steps(transform)
    seen = [copies(params)]
    for step in range(1, num_steps + 1):
        optimizer.zero_grad()
        loss_fn().backward()
        if steps is not None and step >= first_step:
            steps.apply_(grads_of([param.grad for param in params], params))
        optimizer.step()
        seen.append(copies(params))
    return seen


def joint_norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.cat([tensor.double().flatten() for tensor in tensors]).norm())


def assert_same(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=1e-7, equal_nan=True)


def is_bit_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether all bits agree: -0 is not +0 here, and NaN is NaN."""
    return all(
        mine.dtype == other.dtype
        and torch.equal(mine.detach().flatten().view(torch.uint8), other.detach().flatten().view(torch.uint8))
        for mine, other in zip(ours, theirs, strict=True)
    )
