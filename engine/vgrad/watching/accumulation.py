"""One accumulation window: the mean gradient and the mean loss over its microbatches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vgrad.gradients.norms import NormPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NO_LOSS = torch.tensor(float("nan"))


class AccumulationWindow:
    """Averages microbatches until an optimizer step uses them.

    Each microbatch weighs as many tokens (or samples) as its own mean was taken over, so that
    the result is the mean over all items of the window: a mean of means is wrong as soon as
    counts differ. The mean is kept running, so a window may end early, and large counts cannot
    overflow a half-precision gradient.

    Args:
        params: The parameters whose gradients are averaged.

    Attributes:
        loss: Mean loss over the window, 0-d, on its device.
        num_tokens: Tokens so far.
        num_samples: Samples so far.
        num_microbatches: Microbatches so far.
        is_announced: Whether the gradients that come next have been announced.
    """

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        self._params = params
        self._plan: NormPlan | None = None
        self._plan_for: list[int] = []
        self.clear()

    def clear(self) -> None:
        """Forget the window: a step has used it."""
        self.loss = _NO_LOSS
        self.num_tokens = 0
        self.num_samples = 0
        self.num_microbatches = 0
        self.is_announced = False
        self._next: tuple[Tensor, int, int] | None = None
        self._next_extras: Mapping[nn.Parameter, Tensor] = {}
        self._closes = False
        self._num_items = 0
        self._means: list[Tensor | None] = []
        self._extras: dict[nn.Parameter, Tensor] = {}
        self._squares: Tensor | None = None

    def announce(
        self,
        loss: Tensor,
        num_tokens: int,
        num_samples: int,
        closes: bool,
        extras: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        """Take note of the microbatch whose gradients come next.

        It replaces one whose gradients never came, as when a `GradScaler` skips a step.

        Args:
            loss: Mean loss, 0-d.
            num_tokens: Tokens that it is the mean over.
            num_samples: Samples, where there are no tokens.
            closes: Whether the window ends with it.
            extras: Gradients of a regulariser, averaged like the others and kept apart from them.
        """
        self._next = (loss, num_tokens, num_samples)
        self._next_extras = extras or {}
        self._closes = closes
        self.is_announced = True

    def close(self) -> None:
        """Let the next step use what there is, with no further microbatch."""
        self._next = None
        self._closes = self.is_announced = True

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

        Returns:
            True when the window is full (or told to close): ``p.grad`` holds the result.
            False when it stays open: ``p.grad`` is None everywhere.
        """
        was_announced = self._next is not None
        share = self._count(is_sum=is_sum)
        full = self._closes or self.num_microbatches >= size
        if full and not self._means:
            return True  # a window of one: the gradients are untouched
        if was_announced:
            self._square()
        if is_sum:
            self._add()
        else:
            self._average(share)
        if full:
            for param, mean in zip(self._params, self._means, strict=True):
                param.grad = mean
        return full

    def _square(self) -> None:
        """Read the squared norm of this microbatch's gradient: with the mean's it gives the noise scale."""
        grads = [param.grad for param in self._params if param.grad is not None]
        if not grads:
            return
        present = [index for index, param in enumerate(self._params) if param.grad is not None]
        if self._plan is None or present != self._plan_for:
            self._plan, self._plan_for = NormPlan(grads), present
        square = self._plan.read(grads)[1] ** 2
        self._squares = square if self._squares is None else self._squares + square

    def _add(self) -> None:
        """Add the gradients in ``p.grad`` to those so far."""
        if not self._means:
            self._means = [None] * len(self._params)
        for index, param in enumerate(self._params):
            grad, total = param.grad, self._means[index]
            param.grad = None
            if total is None:
                self._means[index] = grad
            elif grad is not None:
                total.add_(grad)

    def _count(self, *, is_sum: bool) -> float:
        """Count the announced microbatch in, and return its share of all items so far."""
        self.is_announced = False
        if self._next is None:
            return 0.0
        loss, num_tokens, num_samples = self._next
        self._next = None
        num_items = num_tokens or num_samples or 1
        self._num_items += num_items
        share = num_items / self._num_items
        self.num_tokens += num_tokens
        self.num_samples += num_samples
        self.num_microbatches += 1
        self.loss = loss if self.num_microbatches == 1 else self.loss.lerp(loss, share)
        for param, extra in self._next_extras.items():
            so_far = self._extras.get(param)
            if so_far is None:
                self._extras[param] = extra
            else:
                self._extras[param] = so_far + extra if is_sum else so_far.lerp(extra, share)
        self._next_extras = {}
        return share

    def _average(self, share: float) -> None:
        if not self._means:
            self._means = [None] * len(self._params)
        old: list[Tensor] = []
        new: list[Tensor] = []
        for index, param in enumerate(self._params):
            grad, mean = param.grad, self._means[index]
            param.grad = None
            if mean is None:
                # Absent so far counts as zero: only this microbatch's share of it remains.
                self._means[index] = grad if grad is None or share == 1.0 else grad.mul_(share)
            elif grad is None:
                mean.mul_(1.0 - share)
            else:
                old.append(mean)
                new.append(grad)
        if old:
            torch._foreach_lerp_(old, new, share)
