"""One accumulation window: the mean gradient and the mean loss over its microbatches.

How many microbatches make a window, and whether it gives their mean or their sum, is in `accumulate.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgrad.gradients.gradient_reader import readable
from vgrad.gradients.norms import NormPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LossValue = Tensor | float


@dataclass(slots=True)
class Announced:
    """A microbatch whose gradients come next.

    Attributes:
        loss: Mean loss, 0-d on its device or a float; None where it is not known.
        num_tokens: Tokens that it is the mean over.
        num_samples: Samples, where there are no tokens.
        extras: Gradients of a regulariser, averaged like the others and kept apart from them; None for none.
    """

    loss: LossValue | None
    num_tokens: int = 0
    num_samples: int = 0
    extras: Mapping[nn.Parameter, Tensor] | None = None


class AccumulationWindow:
    """Averages microbatches until an optimizer step uses them.

    Each microbatch weighs as many tokens (or samples) as its own mean was taken over, so that
    the result is the mean over all items of the window: a mean of means is wrong as soon as
    counts differ. The mean is kept running, so a window may end early, and large counts cannot
    overflow a half-precision gradient.

    No gradient object is kept across a backward pass: it may be a view of a buffer that the next pass
    overwrites, as DDP's are. Gradients are copied aside, and the mean is written into those of the last
    microbatch.

    Args:
        params: The parameters whose gradients are averaged.

    Attributes:
        loss: Mean loss over the window, 0-d on its device or a float; None where it is not known.
        num_tokens: Tokens so far.
        num_samples: Samples so far.
        num_microbatches: Microbatches so far.
        is_announced: Whether the gradients that come next have been announced.
    """

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        self._params = params
        self._plan: NormPlan | None = None
        self._plan_for: tuple[list[int], list[int]] = [], []  # gradients that were there; the sparse ones
        self.clear()

    def clear(self) -> None:
        """Forget the window: a step has used it."""
        self.loss: LossValue | None = None
        self.num_tokens = 0
        self.num_samples = 0
        self.num_microbatches = 0
        self.is_announced = False
        self._next: Announced | None = None
        self._closes = False
        self._num_items = 0
        self._means: list[Tensor | None] = []
        self._is_sum = False
        self._extras: dict[nn.Parameter, Tensor] = {}
        self._squares: Tensor | None = None

    def announce(self, microbatch: Announced, *, closes: bool = False) -> None:
        """Take note of the microbatch whose gradients come next.

        It replaces one whose gradients never came, as when a `GradScaler` skips a step.

        Args:
            microbatch: Its loss and its size.
            closes: Whether the window ends with it.
        """
        self._next = microbatch
        self._closes = closes
        self.is_announced = True

    def close(self) -> None:
        """Let the next step use what there is, with no further microbatch."""
        self._next = None
        self._closes = self.is_announced = True

    @property
    def is_aside(self) -> bool:
        """Whether gradients are kept aside now, with None in their place."""
        return bool(self._means)

    @property
    def extras(self) -> Mapping[nn.Parameter, Tensor]:
        """Mean of the gradients that were kept apart."""
        return self._extras

    @property
    def microbatch_square(self) -> Tensor | None:
        """Mean squared norm of the microbatches' gradients, 0-d; None for a window of one."""
        return None if self._squares is None else self._squares / self.num_microbatches

    def close_if_full(self, size: int, *, is_sum: bool = False) -> bool:
        """Average the gradients in ``p.grad`` into the window.

        Args:
            size: Microbatches that fill it.
            is_sum: Give the sum of the microbatches' mean gradients instead of the mean over all items.
                Only the first microbatch of a window decides it.

        Returns:
            True when the window is full (or asked to close): ``p.grad`` holds the result.
            False when it stays open: ``p.grad`` is None everywhere.
        """
        if size > 1 and not self._closes and all(param.grad is None for param in self._params):
            self.is_announced, self._next = False, None
            return False  # no gradient, so no step
        was_announced = self._next is not None
        if not self.num_microbatches:
            self._is_sum = is_sum
        share = self._count()
        full = self._closes or self.num_microbatches >= size
        if full and not self._means:
            return True  # a window of one: the gradients are untouched
        if was_announced:
            self._square()
        if not self._means:
            self._means = [None] * len(self._params)
        keep, weight = (1.0, 1.0) if self._is_sum else (1.0 - share, share)
        if full:
            self._finish_(keep, weight)
        else:
            self._put_aside_(keep, weight)
        return full

    def put_back_(self) -> None:
        """Put what was accumulated back into ``p.grad`` where that is None, and forget the window."""
        for param, mean in zip(self._params, self._means, strict=False):
            if param.grad is None:
                param.grad = mean
        self.clear()

    def _square(self) -> None:
        """Read the squared norm of this microbatch's gradient: with the mean's it gives the noise scale."""
        grads = [param.grad for param in self._params if param.grad is not None]
        if not grads:
            return
        sparse = [index for index, grad in enumerate(grads) if grad.layout is torch.sparse_coo]
        grads = [readable(grad) for grad in grads]
        present = [index for index, param in enumerate(self._params) if param.grad is not None]
        if self._plan is None or (present, sparse) != self._plan_for:
            self._plan, self._plan_for = NormPlan(grads, varying=sparse), (present, sparse)
        square = self._plan.read(grads)[1] ** 2
        self._squares = square if self._squares is None else self._squares + square

    def _count(self) -> float:
        """Count the announced microbatch in, and return its share of all items so far."""
        self.is_announced = False
        if self._next is None:
            return 0.0
        microbatch, self._next = self._next, None
        num_items = microbatch.num_tokens or microbatch.num_samples or 1
        self._num_items += num_items
        share = num_items / self._num_items
        self.num_tokens += microbatch.num_tokens
        self.num_samples += microbatch.num_samples
        self.num_microbatches += 1
        self.loss = (
            microbatch.loss if self.num_microbatches == 1 else _mixed(self.loss, microbatch.loss, share)
        )
        if microbatch.extras:
            self._add_extras(microbatch.extras, share)
        return share

    def _add_extras(self, extras: Mapping[nn.Parameter, Tensor], share: float) -> None:
        for param, extra in extras.items():
            so_far = self._extras.get(param)
            if so_far is None:
                self._extras[param] = extra
            else:
                self._extras[param] = so_far + extra if self._is_sum else so_far.lerp(extra, share)

    def _put_aside_(self, keep: float, weight: float) -> None:
        """Mix ``p.grad`` into the window, and leave None in its place."""
        old: list[Tensor] = []
        new: list[Tensor] = []
        for index, param in enumerate(self._params):
            grad, mean = param.grad, self._means[index]
            param.grad = None
            if mean is None:
                # Absent so far counts as zero: only this microbatch's share of it remains.
                self._means[index] = None if grad is None else _times(grad, weight)
            elif grad is None:
                self._means[index] = mean if keep == 1.0 else mean.mul_(keep)
            elif grad.is_sparse or mean.is_sparse:
                self._means[index] = _weighted_sum(mean, keep, grad, weight)
            else:
                old.append(mean)
                new.append(grad)
        self._mix_(old, new, weight)

    def _finish_(self, keep: float, weight: float) -> None:
        """Write the window's result into the gradients that are there, and set those that are not."""
        old: list[Tensor] = []
        new: list[Tensor] = []
        there: list[nn.Parameter] = []
        for index, param in enumerate(self._params):
            grad, mean = param.grad, self._means[index]
            if mean is None:
                if grad is not None and weight != 1.0:
                    _write_([param], [grad], [grad * weight])
            elif grad is None:
                param.grad = mean if keep == 1.0 else mean.mul_(keep)
            elif grad.is_sparse or mean.is_sparse:
                param.grad = _weighted_sum(mean, keep, grad, weight)
            else:
                old.append(mean)
                new.append(grad)
                there.append(param)
        self._mix_(old, new, weight)
        if old:
            _write_(there, new, old)
        self._means = []

    def _mix_(self, old: list[Tensor], new: list[Tensor], weight: float) -> None:
        if old and self._is_sum:
            torch._foreach_add_(old, new)
        elif old:
            torch._foreach_lerp_(old, new, weight)


def _write_(params: Sequence[nn.Parameter], grads: list[Tensor], values: list[Tensor]) -> None:
    """Write values into gradients; one that cannot be written to, such as an expanded one, is replaced."""
    try:
        torch._foreach_copy_(grads, values)
    except RuntimeError:
        for param, grad, value in zip(params, grads, values, strict=True):
            try:
                grad.copy_(value)
            except RuntimeError:
                param.grad = value


def _mixed(loss: LossValue | None, new: LossValue | None, share: float) -> LossValue | None:
    if loss is None or new is None:
        return None
    if isinstance(loss, Tensor) and isinstance(new, Tensor):
        return loss.lerp(new, share)
    return loss + share * (new - loss)


def _times(grad: Tensor, weight: float) -> Tensor:
    return grad.clone() if weight == 1.0 else grad * weight


def _weighted_sum(mean: Tensor, keep: float, grad: Tensor, weight: float) -> Tensor:
    """Of a sparse gradient and a mean that may be dense, or the other way round."""
    one, other = (mean * keep, grad * weight) if not mean.is_sparse else (grad * weight, mean * keep)
    total = one + other  # dense + sparse is dense; sparse + sparse is sparse
    return total.coalesce() if total.is_sparse else total
