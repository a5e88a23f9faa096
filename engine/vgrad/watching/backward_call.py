"""What a call of `torch.autograd.backward` says of the loss that it begins at, and who listens to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vgrad.measure.loss_guesses import SeenGuesses
    from vgrad.watching.guard import Guard


class BackwardListener(Protocol):
    """Called before and after every outermost backward pass, and before any loss is caught."""

    guard: Guard

    def before_backward(self) -> None:
        """A backward pass begins. A `LossListener` that is added now gets the loss of this pass."""

    def after_backward(self) -> None:
        """A backward pass has ended. A `LossListener` that is added now gets its loss."""


class LossListener(Protocol):
    """Is given the loss of every outermost backward pass that is about its parameters.

    Attributes:
        guard: Takes errors of ours that must not reach the loop.
        is_open: Whether it still listens.
        looks_up_guesses: Whether it wants to know what constant predictions would have cost.
    """

    guard: Guard
    is_open: bool
    looks_up_guesses: bool

    def may_look(self, thread: int) -> bool:
        """Whether no other thread than ``thread``, which runs the pass, can be writing its gradients."""

    def claim(self, thread: int, leaves: Callable[[], set[int]]) -> bool:
        """Whether the pass is the first of its parameters, given what the pass writes gradients into."""

    def before_backward(self) -> None:
        """A pass begins."""

    def after_backward(
        self, loss: Tensor | float | None, scale: Tensor | float | None, guesses: SeenGuesses
    ) -> None:
        """It has ended: its loss, the scale of that, and what constant predictions would have cost."""


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
