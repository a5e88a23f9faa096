"""The clipping that a training loop, or its framework, does itself between ``backward`` and the step.

``torch.nn.utils.clip_grad_norm_`` and ``clip_grad_value_`` change the gradients before a step hook can read
them. Calls of both are observed: so the norm before them is known, and a call that changes nothing that a
step applies is noticed.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vgrad.events.step_record import LOOP_CLIP, ChainLink
from vgrad.gradients.gradient_reader import num_writes
from vgrad.watching.backward_hooks import num_backward_passes
from vgrad.watching.clip_calls import ClipCall, observe, stop_observing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from vgrad.watching.guard import Guard

_NUM_LOOKED_AT = 4

NO_PARAMETERS = (
    "it is given no parameters: a generator such as model.parameters() is empty once it has been used"
)
NO_GRADIENTS = "no parameter has a gradient at that time: backward() comes later"
REPLACED = "backward() gives other gradients before optimizer.step() uses those that it changed"


@dataclass(frozen=True, slots=True)
class LoopClip:
    """What the loop's own clipping did to the gradients of one step.

    Attributes:
        link: How step records name it.
        is_whole: Whether every gradient was multiplied by the same factor.
        before: Joint norm before it, 0-d; None where it follows from the factor.
        factor: What the gradients were multiplied with, 0-d; None for 1.
        total: The norm that the first call clipped by, 0-d; None where there is none.
    """

    link: ChainLink
    is_whole: bool
    before: Tensor | None
    factor: Tensor | None
    total: Tensor | None

    def norm_before(self, norm: Tensor) -> Tensor:
        """Joint norm before the clipping, 0-d.

        It is computed from the factor, so it is an L2 norm whatever norm the loop clips by.

        Args:
            norm: Joint norm after it, as the step applies it, 0-d.
        """
        if self.before is not None:
            return self.before.to(norm)
        if self.factor is None or self.total is None:
            return norm
        factor, total = self.factor.to(norm), self.total.to(norm)
        return torch.where(factor > 0, norm / factor, total)  # an infinite norm makes every gradient zero


@dataclass(slots=True)
class _SinceLastStep:
    """What the loop has done to the gradients that the next step uses.

    Attributes:
        num_present: Parameters that had a gradient at the first call.
        labels: The calls, each once, in their order.
        marks: Some parameters, each with its gradient and the gradient's version after the last call.
        num_passes: Backward passes of the process up to the last call.
        before: Joint norm before the first call, where it was read.
        factor: What all gradients were multiplied with by the calls since, or before, that.
        total: The norm that the first call clipped by.
        is_whole: Whether that factor says it all.
        is_known: Whether the norm before can be had.
    """

    num_present: int = 0
    labels: dict[str, None] = field(default_factory=dict)
    marks: list[tuple[Tensor, weakref.ref[Tensor], int]] = field(default_factory=list)
    num_passes: int = 0
    before: Tensor | None = None
    factor: Tensor | None = None
    total: Tensor | None = None
    is_whole: bool = True
    is_known: bool = True

    @property
    def is_replaced(self) -> bool:
        """Whether a backward pass has changed the gradients since they were clipped.

        A `GradScaler` writes to them as well, without one.
        """
        is_later = num_backward_passes() != self.num_passes
        return any(
            (grad := ref()) is None or param.grad is not grad or (is_later and num_writes(grad) != version)
            for param, ref, version in self.marks
        )

    @property
    def is_thrown_away(self) -> bool:
        """Whether the gradients are other objects now: else a call may have acted on a part of their sum."""
        return any(param.grad is not ref() for param, ref, _ in self.marks)

    def clip(self) -> LoopClip | None:
        """The clipping as the step sees it; None where the norm before cannot be had."""
        if not self.is_known:
            return None
        link = ChainLink(LOOP_CLIP, f"loop: {self.words}")
        return LoopClip(link, self.is_whole, self.before, self.factor, self.total)

    @property
    def words(self) -> str:
        """The calls."""
        return " + ".join(self.labels)


class LoopClipping:
    """Observes the clipping calls of a loop that are about the parameters of one optimizer.

    Args:
        params: The parameters.
        guard: Takes errors of ours that must not reach the loop.

    Attributes:
        guard: The same.
        label: What the loop did last, such as ``clip_grad_norm_ 1``; empty before.
        num_acting: Steps that used gradients which the loop had clipped.
        num_idle: Calls that changed nothing that a step used, since the last step that used some.
        why_idle: Why the last of them did not.
        is_norm_known: Whether the norm before the last clipping could be had.
    """

    def __init__(self, params: Sequence[nn.Parameter], guard: Guard) -> None:
        self.guard = guard
        self.is_norm_known = True
        self.label = ""
        self.num_acting = 0
        self.num_idle = 0
        self.why_idle = ""
        self.use_params(params)
        observe(self)

    def use_params(self, params: Sequence[nn.Parameter]) -> None:
        """Observe what is done to these parameters from here on."""
        self._params = {id(param): param for param in params}
        self._so_far = _SinceLastStep()

    def close(self) -> None:
        """Observe no more. Closing twice is harmless."""
        stop_observing(self)

    def before_clipping(self, call: ClipCall) -> None:
        """The loop is about to clip."""
        own = [param for param in call.params if id(param) in self._params]
        if call.params and not own:
            return
        self.label = call.label
        num_found = sum(param.grad is not None for param in own)
        if not num_found:
            self._count_idle(NO_GRADIENTS if call.params else NO_PARAMETERS)
            return
        if self._so_far.is_replaced:
            self._so_far = _SinceLastStep()
        so_far = self._so_far
        if not so_far.labels:
            so_far.num_present = sum(param.grad is not None for param in self._params.values())
        so_far.labels[call.label] = None
        if num_found == so_far.num_present and call.factor is not None:
            so_far.factor = call.factor if so_far.factor is None else so_far.factor * call.factor
            so_far.total = call.total if so_far.total is None else so_far.total
            return
        so_far.is_whole = False
        if so_far.before is None and so_far.is_known:
            norm = _joint_norm(list(self._params.values()))
            so_far.is_known = norm is not None
            so_far.before = norm if norm is None or so_far.factor is None else norm / so_far.factor

    def after_clipping(self, call: ClipCall) -> None:
        """The loop has clipped: keep what shows whether a step uses these gradients."""
        own = [param for param in call.params if id(param) in self._params and param.grad is not None]
        looked_at = own[:: max(1, len(own) // _NUM_LOOKED_AT)]
        if looked_at:
            self._so_far.num_passes = num_backward_passes()
            self._so_far.marks = [
                (param, weakref.ref(grad), num_writes(grad))
                for param in looked_at
                if (grad := param.grad) is not None
            ]

    def take(self) -> LoopClip | None:
        """What was done to the gradients of the step that is about to be made; None for nothing.

        Ask once for each step.
        """
        so_far = self._so_far
        if not so_far.labels:
            return None
        self._so_far = _SinceLastStep()
        self.label = so_far.words
        if so_far.is_replaced:
            if so_far.is_thrown_away:
                self._count_idle(REPLACED)
            return None
        self.num_acting += 1
        self.num_idle = 0
        self.is_norm_known = so_far.is_known
        return so_far.clip()

    def _count_idle(self, why: str) -> None:
        self.num_idle += 1
        self.why_idle = why


def _joint_norm(params: Sequence[Tensor]) -> Tensor | None:
    """Joint L2 norm of the gradients that are there; None where reading it needs more than one call."""
    grads = [grad for param in params if (grad := param.grad) is not None]
    is_plain = all(type(grad) is Tensor and grad.layout is torch.strided for grad in grads)
    if not grads or not is_plain or len({grad.device for grad in grads}) > 1:
        return None
    dtype = torch.promote_types(grads[0].dtype, torch.float32)
    norms = torch.stack(torch._foreach_norm(grads, 2, dtype=dtype))
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm
