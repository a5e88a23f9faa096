"""All gradients of one optimizer step, changed in place, and their norms.

The norms are read once and then kept up to date by arithmetic where that is exact enough:
after a rescaling they are rescaled too, so that clipping costs no second read.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vgrad.gradients.sharded import local_piece

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from vgrad.gradients.norms import NormPlan

_LARGEST_OF_FLOAT16 = torch.finfo(torch.float16).max


class Grads:
    """The gradients of one optimizer step, changed in place by transforms.

    Whoever writes into `tensors` calls `forget_norms` afterwards.

    Args:
        tensors: Gradients in the model's parameter order, at least one, each of any shape; that of a
            complex weight as its real and imaginary parts, in a last dimension of 2.
        plan: How to read their norms.
        params: The weights that these are the gradients of, in the same order.
        names: What the model calls those weights, in the same order.
        last_linear: Weight and bias of the layer that makes the model's output, as in `Layers`,
            whether or not they are among ``params``.
        extras: Gradients of a regulariser, by parameter, for `add_extras_`.
        has_sparse: Whether some of ``tensors`` are only those entries of a sparse gradient that are there.

    Attributes:
        tensors: The same, as given.
        params: The same, as given.
        names: The same, as given.
        last_linear: The same, as given.
        has_sparse: The same, as given.
    """

    __slots__ = (
        "_extras",
        "_norms",
        "_on_host",
        "_plan",
        "has_sparse",
        "last_linear",
        "names",
        "params",
        "tensors",
    )

    def __init__(
        self,
        tensors: list[Tensor],
        plan: NormPlan,
        *,
        params: Sequence[nn.Parameter],
        names: Sequence[str],
        last_linear: frozenset[nn.Parameter],
        extras: Mapping[nn.Parameter, Tensor] = MappingProxyType({}),
        has_sparse: bool = False,
    ) -> None:
        self.tensors = tensors
        self.params = params
        self.names = names
        self.last_linear = last_linear
        self.has_sparse = has_sparse
        self._extras = extras
        self._plan = plan
        self._norms: tuple[Tensor, Tensor] | None = None
        self._on_host: tuple[NDArray[np.floating], float] | None = (
            None  # the same, where they were read there
        )

    def norms(self) -> Tensor:
        """L2 norm of each gradient, shape ``(num_tensors,)``, on their device."""
        return self._read()[0]

    def norm(self) -> Tensor:
        """Joint L2 norm as a 0-d tensor on the gradients' device, in float64 where it has one.

        Source:
            Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 3.2.
        """
        return self._read()[1]

    def norms_on_host(self) -> tuple[NDArray[np.floating], float] | None:
        """What `norms` and `norm` say, for gradients on a CPU; None for those on an accelerator.

        The array must not be written to. Without a call into torch beyond the reading itself.
        """
        if self._on_host is None and self._norms is None:
            self._on_host = self._plan.read_on_host(self.tensors)
        return self._on_host

    def _read(self) -> tuple[Tensor, Tensor]:
        if self._norms is None:
            on_host = self.norms_on_host()
            if on_host is None:
                self._norms = self._plan.read(self.tensors)
            else:
                norms, norm = on_host
                self._norms = torch.from_numpy(norms), torch.tensor(norm, dtype=torch.float64, device="cpu")
        return self._norms

    def scale_(self, factor: Tensor) -> None:
        """Multiply every gradient by ``factor``, a 0-d tensor on their device, in place."""
        # Rounded to the gradients' own dtype, in which an accelerator scales them in one launch,
        # and rounded before the norms are scaled too, so that they agree with the gradients.
        factor = factor.to(self._plan.dtype)
        torch._foreach_mul_(self.tensors, factor)
        if self._norms is not None or self._on_host is not None:
            norms, norm = self._read()
            self._norms, self._on_host = (norms * factor, norm * factor), None

    def scale_each_(self, factors: Tensor) -> None:
        """Multiply each gradient by its own entry of ``factors``, ``(num_tensors,)``, in place."""
        # A 0-d factor would first be rounded to the gradient's dtype, and 1e5 is inf in half
        # precision. With as many dimensions as the gradient it keeps its own.
        shaped = [
            factor.view((1,) * tensor.dim())
            for factor, tensor in zip(factors.unbind(), self.tensors, strict=True)
        ]
        torch._foreach_mul_(self.tensors, shaped)
        self.forget_norms()

    def clamp_(self, limit: float) -> None:
        """Clamp every entry to ``[-limit, limit]``, in place.

        In a type that does not reach ``limit``, inf becomes the type's largest number.
        """
        if limit <= _LARGEST_OF_FLOAT16:
            torch._foreach_clamp_max_(self.tensors, limit)
            torch._foreach_clamp_min_(self.tensors, -limit)
        else:  # torch refuses a limit that the tensor's type cannot hold
            limits = [min(limit, torch.finfo(tensor.dtype).max) for tensor in self.tensors]
            torch._foreach_clamp_max_(self.tensors, limits)
            torch._foreach_clamp_min_(self.tensors, [-limit for limit in limits])
        self.forget_norms()

    def forget_norms(self) -> None:
        """Say that entries have changed: the norms are read again when next asked for."""
        self._norms = self._on_host = None

    def weight_norms(self) -> Tensor:
        """L2 norm of each weight as it is now, shape ``(num_tensors,)``, on their device."""
        weights = [local_piece(param.detach()) for param in self.params]
        return self._plan.read([torch.view_as_real(w) if w.is_complex() else w for w in weights])[0]

    def add_extras_(self, factor: float) -> None:
        """Add ``factor`` times the regulariser's gradients to those of their parameters, in place."""
        for tensor, param in zip(self.tensors, self.params, strict=True):
            extra = self._extras.get(param)
            if extra is not None:
                tensor.add_(extra.to(tensor.dtype), alpha=factor)
        self.forget_norms()

    def subset(self, keep: Sequence[int], plan: NormPlan | None = None) -> tuple[Grads, NormPlan]:
        """The gradients at the indices ``keep``, at least one, by themselves: the same tensors.

        Returns:
            They, and the plan to read their norms: ``plan`` if it was made for the same ones before.
        """
        tensors = [self.tensors[index] for index in keep]
        plan = plan or self._plan.subset(tensors, keep)
        grads = Grads(
            tensors,
            plan,
            params=[self.params[index] for index in keep],
            names=[self.names[index] for index in keep],
            last_linear=self.last_linear,
            extras=self._extras,
            has_sparse=self.has_sparse,
        )
        return grads, plan

    def all_finite(self) -> Tensor:
        """Whether no entry is inf or NaN: a 0-d bool tensor on the gradients' device.

        Exact where the norm is not: finite entries whose squares overflow are finite.
        """
        norm = self.norm()
        if norm.device.type == "cpu" and math.isfinite(norm):
            return norm.isfinite()  # a finite norm has no other entries, and is already known
        largest = torch._foreach_norm([tensor for tensor in self.tensors if tensor.numel()], math.inf)
        if not largest:  # this rank has no entries of a sharded gradient
            return self._plan.on_all_ranks(torch.ones((), dtype=torch.bool, device=norm.device))
        return self._plan.on_all_ranks(torch.stack([value.isfinite() for value in largest]).all())


def entries(grad: Tensor) -> Tensor:
    """The entries of ``grad`` that are there, each once; itself if it is dense."""
    return grad.coalesce().values() if grad.layout is torch.sparse_coo else grad
