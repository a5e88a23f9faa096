"""Reads the L2 norms of many tensors at the lowest cost, and exactly where squares overflow or underflow."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vgrad.errors import ConfigError
from vgrad.gradients.gathered import MANY, GatheredTensors, largest, split

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

# Each square that underflows is wrong by `_underflow_error` at most, so those of n entries by n times that.
# A norm this many times above the square root of that loses less than 5e-6 of its value.
_SAFE = 320
_LARGEST = 2**40  # entries, of a tensor whose size is not known beforehand


class NormPlan:
    """How to read the L2 norms of one list of tensors; made once, used every step.

    Args:
        tensors: Tensors as they will be passed to `read`: same number, sizes, dtypes and device.
        varying: Indices of those whose size may be another each time.

    Attributes:
        dtype: The widest dtype among them.
        read_alone: Indices of those that are not gathered with others, to be read from a copy.

    Raises:
        ConfigError: If the tensors are sparse or live on several devices.
    """

    def __init__(self, tensors: Sequence[Tensor], *, varying: Collection[int] = ()) -> None:
        if any(tensor.layout is not torch.strided for tensor in tensors):
            raise ConfigError("this needs dense gradients: use Embedding(sparse=False)")
        devices = {tensor.device for tensor in tensors}
        if len(devices) > 1:
            raise ConfigError(f"gradients live on several devices: {sorted(map(str, devices))}")
        self.dtype = reduce(torch.promote_types, {tensor.dtype for tensor in tensors})
        # Half-precision squares overflow at 256, so norms are at least float32.
        self._norm_dtype = torch.promote_types(self.dtype, torch.float32)
        self._host = (
            _HostPlan(tensors, self._norm_dtype, varying) if devices == {torch.device("cpu")} else None
        )
        self.read_alone: Sequence[int] = range(len(tensors)) if self._host is None else self._host.alone

    def read(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the L2 norm of each tensor, ``(num_tensors,)``, and the joint one, 0-d, on their device.

        Norms are float32, or float64 if the tensors are; the joint one is float64 where the
        device has it. On a CPU a norm is right to 1e-5 of its value for all finite entries: where
        their squares overflow or underflow the tensor is read again, in float64. (Norms too large
        for float32 come as float64.) A tensor whose entries are all zero is read twice for that reason.

        On an accelerator float32 norms overflow above 1.8e19, and entries below 1e-19 lose precision
        until they count as 0 below 2.6e-23: to look into that would wait for the device.
        """
        if self._host is not None:
            norms, norm = self._host.read(tensors)
            return torch.from_numpy(norms), torch.tensor(norm, dtype=torch.float64, device="cpu")
        # An accelerator reads any list of tensors in one launch.
        on_device = torch.stack(torch._foreach_norm(list(tensors), 2, dtype=self._norm_dtype))
        dtype = torch.float32 if on_device.device.type == "mps" else torch.float64
        return on_device, torch.linalg.vector_norm(on_device, dtype=dtype)

    def read_on_host(self, tensors: Sequence[Tensor]) -> tuple[NDArray[np.floating], float] | None:
        """Return the same in an array of its own and as a float; None for tensors on an accelerator."""
        return None if self._host is None else self._host.read(tensors)

    def subset(self, tensors: Sequence[Tensor], keep: Sequence[int]) -> NormPlan:
        """A plan for some of the tensors: ``tensors``, those at the indices ``keep``."""
        return NormPlan(tensors)

    def on_all_ranks(self, is_true: Tensor) -> Tensor:
        """Whether a 0-d bool is true on every rank that holds a piece of the tensors: here, on this one."""
        return is_true


class _HostPlan:
    """Reads norms on a CPU, where the number of different calls decides what reading costs.

    A backward pass empties the caches, after which each kind of call loads its code through torch or numpy
    again: right after one over 102 tensors, reading takes twice as long as in a loop of its own. So tensors
    are read by few calls of few kinds: all of them by one, or small ones of one shape from a buffer that they
    are gathered into.
    """

    def __init__(self, tensors: Sequence[Tensor], norm_dtype: torch.dtype, varying: Collection[int]) -> None:
        self._norm_dtype = norm_dtype
        # A dtype, though it is the tensors' own, makes the call slower.
        self._wider = None if {tensor.dtype for tensor in tensors} == {norm_dtype} else norm_dtype
        alone, chunks = split(tensors, varying=varying)
        order = alone + [index for chunk in chunks for index in chunk]
        found = torch.empty(len(order), dtype=norm_dtype, device="cpu")
        self.alone = alone
        self._alone_norms = found[: len(alone)]
        self._found: NDArray[np.floating] = found.numpy()  # what all calls write into, in reading order
        self._positions = np.argsort(order)
        self._largest = torch.finfo(norm_dtype).max
        # A lower norm may be that of entries whose squares have underflowed.
        error = _underflow_error(norm_dtype)
        sizes = [_LARGEST if i in varying else tensor.numel() for i, tensor in enumerate(tensors)]
        self._floors = [_SAFE * math.sqrt(size * error) for size in sizes]
        self._highest_floor = max(self._floors)
        self._gathered = GatheredTensors(tensors, chunks, found[len(alone) :]) if chunks else None

    def read(self, tensors: Sequence[Tensor]) -> tuple[NDArray[np.floating], float]:
        """As `NormPlan.read_on_host`."""
        if self._gathered is None:
            norms = self._found = torch.stack(self._norms_of(tensors)).numpy()
        else:
            if self.alone:
                alone = self._norms_of([tensors[index] for index in self.alone])
                torch.stack(alone, out=self._alone_norms)
            self._gathered.read(tensors)
            norms = self._found.take(self._positions)  # a new array
        values = norms.tolist()
        norm = math.hypot(*values)
        if not math.isfinite(norm) or min(values) < self._highest_floor:
            return self._read_again(tensors, values)
        return norms, norm

    def _norms_of(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if self._wider is None:
            norms = torch._foreach_norm(list(tensors))
            # Of half precision they would be rounded to it.
            if any(norm.dtype is not self._norm_dtype for norm in norms):
                raise RuntimeError("gradients have other dtypes than those that the plan was made for")
            return norms
        return torch._foreach_norm(list(tensors), 2, dtype=self._wider)

    def _read_again(
        self, tensors: Sequence[Tensor], norms: list[float]
    ) -> tuple[NDArray[np.floating], float]:
        """Correct, in float64, the ``norms`` that may be wrong; true zeros, inf and NaN remain."""
        doubtful = [
            index
            for index, (norm, floor) in enumerate(zip(norms, self._floors, strict=True))
            if not floor <= norm < math.inf
        ]
        for index, norm in zip(doubtful, self._exact_norms(tensors, doubtful), strict=True):
            norms[index] = norm
        # hypot takes an inf for more than a NaN
        joint = math.nan if any(map(math.isnan, norms)) else math.hypot(*norms)
        is_too_large = any(self._largest < norm < math.inf for norm in norms)
        return np.array(norms, np.float64 if is_too_large else self._found.dtype), joint

    def _exact_norms(self, tensors: Sequence[Tensor], indices: Sequence[int]) -> list[float]:
        """The norms of some of the tensors, read in float64."""
        if self._norm_dtype is torch.float64:  # squares in float64 are what was lost
            return [exact_norm(tensors[index]) for index in indices]
        if len(indices) < MANY or self._gathered is None:
            return _in_float64([tensors[index] for index in indices])
        wanted = set(indices)
        alone = [index for index in self.alone if index in wanted]
        exact = dict(zip(alone, _in_float64([tensors[index] for index in alone]), strict=True))
        exact |= self._gathered.read_exactly(tensors, wanted)
        return [exact[index] for index in indices]


def _in_float64(tensors: list[Tensor]) -> list[float]:
    return torch.stack(torch._foreach_norm(tensors, 2, dtype=torch.float64)).tolist() if tensors else []


def _underflow_error(dtype: torch.dtype) -> float:
    """By how much a square below the smallest normal number of ``dtype`` may be wrong.

    It is rounded to the next subnormal number, or to zero where the processor was told to flush these, see
    `torch.set_flush_denormal`.
    """
    smallest = torch.finfo(dtype).tiny
    is_flushed = float(torch.tensor(math.sqrt(smallest / 4), dtype=dtype, device="cpu").square()) == 0
    return smallest if is_flushed else smallest * torch.finfo(dtype).eps


def exact_norm(tensor: Tensor) -> float:
    """Return the L2 norm of one tensor, right for all finite entries of any floating dtype.

    Costs a transfer to the host, and a second read unless all entries are zero.
    """
    max_entry = largest(tensor)
    if max_entry == 0 or not math.isfinite(max_entry):
        return max_entry
    if tensor.dtype is not torch.float64:
        return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
    return max_entry * float(torch.linalg.vector_norm(tensor / max_entry))
