"""What a call of `torch.autograd.backward` says of the loss that it begins at, and who listens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vgrad.watching.guard import Guard


class BackwardListener(Protocol):
    """Called before and after every outermost backward pass, and before any loss is caught."""

    guard: Guard

    def before_backward(self) -> None:
        """A backward pass begins. A `LossAtBackward` that is added now catches the loss of this pass."""

    def after_backward(self) -> None:
        """A backward pass has ended. A `LossAtBackward` that is added now gets its loss."""


def root_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """What ``backward`` begins at, and what that is weighted with, among its arguments."""
    root = args[0] if args else kwargs.get("tensors")
    weight = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
    if not isinstance(root, Tensor) and isinstance(root, tuple | list) and len(root) == 1:
        [root] = root
    if isinstance(weight, tuple | list) and len(weight) == 1:
        [weight] = weight
    return root, weight


def loss_of(root: Any, weight: Any, scale: Tensor | float | None) -> Tensor | float | None:
    """The loss, before it was scaled; None if it is not of one entry."""
    if not isinstance(root, Tensor) or root.numel() != 1 or root.is_complex():
        return None
    if isinstance(weight, tuple | list) or (weight is not None and weight.numel() != 1):
        return None
    if root.is_cpu:  # read now: a loop may write into its loss
        value: float = root.item() if weight is None else root.item() * weight.item()
        return value if scale is None else value / float(scale)
    with torch.no_grad():
        loss = root.detach().reshape(()).clone()
        if weight is not None:
            loss *= weight.reshape(())
        return loss if scale is None else loss / scale


def leaves_of(root: Any) -> set[int]:
    """Identities of the tensors that a backward pass from ``root`` writes gradients into.

    Their gradients are not looked at. About 1 ms for a thousand nodes of the graph. Empty where ``root`` is
    no single tensor; parameters inside a checkpoint of the reentrant kind are not found.
    """
    found: set[int] = set()
    seen: set[Any] = set()
    waiting = [getattr(root, "grad_fn", None)] if isinstance(root, Tensor) else []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            found.add(id(variable))
        waiting += [each for each, _ in node.next_functions]
    return found
