"""Measures this rank's own gradient in some backward passes, before the ranks average theirs.

Hooks on the parameters read it, and see when it is complete: from then to the end of the backward pass this
rank waits for the others. They are registered for the measured passes alone, and change nothing. One hook is
there in every pass: on the first parameter of the model, which non-finite values of later layers reach.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.gradients.gradient_reader import readable
from vgrad.measure.host_copy import ASYNCHRONOUS, HostCopy
from vgrad.watching.backward_hooks import listen, stop_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from vgrad.watching.guard import Guard

_MOST_OFTEN, _LEAST_OFTEN = 32, 512  # steps between two measured ones
_MOST_ENTRIES = 1_000_000  # of the parameter that is looked at in every step


class LocalGradients:
    """Measures the backward pass of every so many steps, which depend on the number of parameters alone.

    With a hook on each of 102 small parameters a backward pass takes half as long again, so one in as many
    steps as there are parameters is measured.

    Args:
        params: The parameters. Those that are sharded over processes are left out.
        guard: Takes errors of ours that must not reach the backward pass.
        measured: Is given the step, the joint norm, multiplied as the loss was, and the seconds waited. Where
            the numbers come from an accelerator, it is called at a later step.
        not_finite: Is given a step whose own gradient was not finite; of several in a row on an accelerator,
            the first.
    """

    def __init__(
        self,
        params: Sequence[nn.Parameter],
        guard: Guard,
        measured: Callable[[int, float, float], None],
        not_finite: Callable[[int], None],
    ) -> None:
        self.guard = guard
        self._params = [param for param in params if not hasattr(param, "full_tensor")]
        self._every = min(_LEAST_OFTEN, max(_MOST_OFTEN, len(self._params)))
        self._measured = measured
        self._handles: list[RemovableHandle] = []
        self._squares: dict[int, Tensor] = {}
        self._coming: tuple[int, HostCopy, _Span] | None = None
        self._span: _Span | None = None
        self._step = 1
        self._not_finite = not_finite
        first = next((param for param in self._params if param.numel() <= _MOST_ENTRIES), None)
        self._look_at: list[RemovableHandle] = []
        if first is not None:
            self._look_at.append(first.register_hook(self._look))  # type: ignore[no-untyped-call]
        self._bad_step: Tensor | None = None  # the first one, on an accelerator; inf for none

    def at_step(self, number: int) -> None:
        """Step ``number`` begins: its backward pass has ended."""
        self._step = number + 1
        if self._coming is not None and self._coming[1].is_ready:
            step, copy, span = self._coming
            self._coming = None
            self._arrived(step, copy, span)
        if self._handles:
            self._take_in(number)
            self._take_off()
        if (number + 1) % self._every == 0 and self._params:
            device = self._params[0].device
            self._span = _Span(device)
            self._handles = [
                param.register_hook(partial(self._see, index))  # type: ignore[no-untyped-call]
                for index, param in enumerate(self._params)
            ]
            listen(self)

    def close(self) -> None:
        """Measure no more."""
        self._take_off()
        for handle in self._look_at:
            handle.remove()
        self._look_at = []

    def _take_off(self) -> None:
        if self._handles:
            stop_listening(self)
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._squares.clear()

    def before_backward(self) -> None:
        """A backward pass begins; of several in one step, the last is measured."""
        self._squares.clear()

    def after_backward(self) -> None:
        """The backward pass has ended, and the ranks have averaged their gradients."""
        if self._span is not None and self._squares:
            self._span.end()

    def _look(self, grad: Tensor) -> None:
        """Is this rank's own gradient finite? Nobody waits for the answer of an accelerator."""
        try:
            with torch.no_grad():
                norm = torch.linalg.vector_norm(readable(grad.detach()), math.inf)
                if norm.is_cpu:
                    if not math.isfinite(float(norm)):
                        self._not_finite(self._step)
                    return
                if self._bad_step is None:
                    self._bad_step = torch.full((), math.inf, device=norm.device)
                candidate = torch.where(norm.isfinite(), math.inf, float(self._step))
                self._bad_step = torch.minimum(self._bad_step, candidate)
        except Exception as error:  # noqa: BLE001  # none of ours may reach the backward pass
            self.guard.caught(error)

    def _see(self, index: int, grad: Tensor) -> None:
        try:
            # On an accelerator that has none float64 sums overflow less; there is no second look.
            dtype = torch.float32 if grad.device.type == "mps" else torch.float64
            with torch.no_grad():
                self._squares[index] = torch.linalg.vector_norm(readable(grad.detach()), dtype=dtype)
            if self._span is not None:
                self._span.begin()
        except Exception as error:  # noqa: BLE001  # none of ours may reach the backward pass
            self.guard.caught(error)

    def _take_in(self, step: int) -> None:
        if not self._squares or self._span is None or not self._span.has_ended:
            return
        norm = torch.linalg.vector_norm(torch.stack(list(self._squares.values())))
        numbers = [norm] if self._bad_step is None else [norm, self._bad_step.to(norm.dtype)]
        self._bad_step = None
        copy = HostCopy((), [torch.stack(numbers)])
        if copy.is_here:
            self._arrived(step, copy, self._span)
        else:
            self._coming = step, copy, self._span

    def _arrived(self, step: int, copy: HostCopy, span: _Span) -> None:
        norm, *bad_step = copy.read()[1].tolist()
        self._measured(step, norm, span.seconds())
        if bad_step and math.isfinite(bad_step[0]):
            self._not_finite(int(bad_step[0]))


class _Span:
    """From the last call of `begin` to `end`, by the clock of the device that does the work."""

    def __init__(self, device: torch.device) -> None:
        self.has_ended = False
        self._marks: tuple[Any, Any] | None = None
        if device.type in ASYNCHRONOUS:
            begin, end = (torch.Event(device=device, enable_timing=True) for _ in range(2))
            self._marks = begin, end
        self._begin_s = self._end_s = 0.0

    def begin(self) -> None:
        if self._marks is None:
            self._begin_s = time.perf_counter()
        else:
            self._marks[0].record()

    def end(self) -> None:
        self.has_ended = True
        if self._marks is None:
            self._end_s = time.perf_counter()
        else:
            self._marks[1].record()

    def seconds(self) -> float:
        """Ask only when a copy that was recorded later on the same stream has arrived."""
        if self._marks is None:
            return self._end_s - self._begin_s
        begin, end = self._marks
        return float(begin.elapsed_time(end)) / 1e3
