"""Reads the gradients of some parameters as dense real tensors, which norms and transforms understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vgrad.gradients.grads import Grads, entries
from vgrad.gradients.module_tree import modules_of
from vgrad.gradients.rank_sums import RankSums
from vgrad.gradients.sharded import is_sharded, local_piece
from vgrad.gradients.sharded_norms import plan_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor, nn

    from vgrad.gradients.layers import Layers
    from vgrad.gradients.norms import NormPlan


class GradientReader:
    """Collects the gradients that are there, with a plan to read their norms that is made once.

    A sparse gradient is read as the entries that are there, a complex one as its real and imaginary parts.
    Both are views of ``p.grad``, so a transform that changes them changes what the optimizer sees.

    Args:
        layers: The layers whose parameters are read.

    Attributes:
        present: Indices of the parameters that had a gradient when it was last collected; None for all.
        has_sparse: Whether some gradient was sparse then.
        sums: Adds up over the ranks that hold pieces of them; None where every gradient is whole.
    """

    def __init__(self, layers: Layers) -> None:
        self.present: list[int] | None = None
        self.has_sparse = False
        self._layers = layers
        self.sums = RankSums(layers.params) if any(map(is_sharded, layers.params)) else None
        self._plan: NormPlan | None = None
        self._sparse: list[int] = []
        self._complex: list[int] = []

    def begin_step(self) -> None:
        """A step begins, in which these gradients are read."""
        if self.sums is not None:
            self.sums.begin_step()

    def end_step(self) -> None:
        """They are read no more in this step."""
        if self.sums is not None:
            self.sums.end_reading()

    def fail(self, *, is_steered: bool) -> None:
        """An error has ended the reading within a step: the other ranks must not wait for this one.

        Args:
            is_steered: Whether there is a chain of controls.
        """
        if self.sums is not None:
            self.sums.leave_within_step(is_steered=is_steered)

    def forget_plan(self) -> None:
        """Make a new plan at the next `collect`, because dtypes or shapes have changed."""
        self._plan = None

    def collect(self, extras: Mapping[nn.Parameter, Tensor], *, will_change: bool) -> Grads | None:
        """Return the gradients that are there, or None where no parameter has one.

        Args:
            extras: Gradients of a regulariser, by parameter, which Ω adds.
            will_change: Whether transforms are going to change them.
        """
        layers = self._layers
        params: Sequence[nn.Parameter] = layers.params
        found = [grad for param in params if (grad := param.grad) is not None]
        present: list[int] | None = None
        if len(found) < len(params):
            if not found:
                return None
            present = [index for index, param in enumerate(params) if param.grad is not None]
        plan = self._plan
        # Looked up at every step: torch 2.14 reads the norm of a sparse gradient and raises nothing.
        sparse_coo = torch.sparse_coo
        may_be_sparse: Iterable[int] = range(len(found))
        if plan is not None and present == self.present and not will_change:
            may_be_sparse = plan.read_alone  # to gather the others raises an error if one of them is
        sparse = [index for index in may_be_sparse if found[index].layout is sparse_coo]
        is_new = plan is None or present != self.present or sparse != self._sparse
        if is_new:
            self._sparse = sparse
            self._complex = [index for index, grad in enumerate(found) if grad.is_complex()]
            self.has_sparse = bool(sparse)
        for index in self._sparse:
            param = params[index if present is None else present[index]]
            found[index] = _entries_of(found[index], param, will_change=will_change)
        for index in self._complex:
            found[index] = torch.view_as_real(found[index].resolve_conj())
        if plan is None or is_new:
            plan = self._plan = plan_norms(found, self.sums, varying=self._sparse)
            self.present = present
        if self.sums is not None:
            found = [local_piece(grad) for grad in found]
        names: Sequence[str] = layers.param_names
        return Grads(
            found,
            plan,
            params=params if present is None else [params[index] for index in present],
            names=names if present is None else [names[index] for index in present],
            last_linear=layers.last_linear,
            extras=extras,
            has_sparse=bool(self._sparse or self._complex),
        )

    def measured(
        self, measure: Callable[[Grads], object], extras: Mapping[nn.Parameter, Tensor], *, will_change: bool
    ) -> Grads | None:
        """`collect` the gradients and let ``measure`` read them, with a new plan where the old one fails."""
        for is_last in (False, True):
            grads = self.collect(extras, will_change=will_change)
            if grads is None:
                return None
            try:
                measure(grads)
            except RuntimeError:
                if is_last or (self.sums is not None and self.sums.has_begun):
                    raise
                self.forget_plan()  # dtypes or shapes are no longer what they were
            else:
                break
        return grads


def _entries_of(grad: Tensor, param: nn.Parameter, *, will_change: bool) -> Tensor:
    """The entries of a sparse gradient that are there, each once, as the chain may change them."""
    grad = grad.coalesce()
    if will_change:
        # Only then: adding up what occurs twice, before it is added to a weight, rounds otherwise.
        param.grad = grad
    return grad.values()


def has_sparse_module(model: nn.Module) -> bool:
    """Whether some module of ``model`` is made to give a sparse gradient."""
    return any(vars(module).get("sparse") is True for module in modules_of(model))


def num_writes(grad: Tensor) -> int:
    """How often ``grad`` has been written to; 0 for one made in inference mode, which is not counted."""
    return 0 if grad.is_inference() else grad._version


def readable(grad: Tensor) -> Tensor:
    """``grad`` as a dense real tensor with the same norm."""
    grad = entries(grad)
    return torch.view_as_real(grad.resolve_conj()) if grad.is_complex() else grad
