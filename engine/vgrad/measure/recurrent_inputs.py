"""The gradient through time of recurrent layers in a loop that is not vgrad's, without passes of its own.

`nn.RNN`, `nn.LSTM` and `nn.GRU` keep their hidden states to themselves, but the gradient of an input has to
go through the hidden state of its time step: dE/dx_t falls with the distance to the loss as dE/dh_t does. So
the loop's own backward pass is listened to, in one step of many. A cell that is called once for each time
step (`nn.RNNCell`, `nn.LSTMCell`, `nn.GRUCell`) is measured alike, call by call.

The layers are reached by a global forward pre-hook that exists only for that step: a hook of the module
itself would be pickled by ``torch.save(model)``, and copied by ``copy.deepcopy``.
"""

from __future__ import annotations

import gc
import math
import sys
import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.utils.rnn import PackedSequence

from vgrad.events.time_stats import TimeStats
from vgrad.gradients.module_tree import modules_of, params_of
from vgrad.measure.hidden_gradients import ratio, recurrent_matrices, time_slope
from vgrad.measure.host_copy import HostCopy
from vgrad.measure.stream_capture import is_capturing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Training steps that one measurement costs: the gradient of the inputs, and its norms.
_COST_IN_STEPS = 0.3

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True, slots=True, eq=False)
class _Coming:
    """Norms on their way to the host: ``lengths`` time steps of each module, one after the other."""

    step: int
    lengths: tuple[int, ...]
    copy: HostCopy


class RecurrentInputsProbe:
    """Measures ‖dE/dx_t‖ at the inputs of recurrent layers, in a few steps of the loop's own.

    In such a step a layer is given an alias of its input, so that its gradient is that of this layer alone;
    an input that needs no gradient is given one. Neither changes a number of the loop. Of several
    layers the one whose gradient fades most counts. Of packed sequences the longest ones are looked at, whose
    first steps are the farthest from the loss. Programs that compile a module are left out: there a global
    hook would warn and compile again.

    Args:
        model: The model. Its recurrent layers and cells that hold one of ``params`` are measured.
        params: The parameters of the part of the run that this belongs to.
        share: Share of the step time that this may take, in [0, 1]; 0 for never.
        on_error: Takes errors of ours, which must not reach the loop.

    Attributes:
        every: Steps between two measurements; None for never.
    """

    def __init__(
        self,
        model: nn.Module,
        params: Sequence[Tensor],
        share: float,
        on_error: Callable[[Exception], None],
    ) -> None:
        ours = {id(param) for param in params}
        self._modules = weakref.WeakSet(
            module
            for module in modules_of(model)
            if isinstance(module, _RECURRENT) and any(id(param) in ours for param in params_of(module))
        )
        can_listen = share > 0 and bool(self._modules) and not _is_any_compiled()
        self.every = math.ceil(_COST_IN_STEPS / share) if can_listen else None
        self._on_error = on_error
        self._names = tuple(name for name, _ in recurrent_matrices(model))
        self._norms: dict[nn.Module, Tensor] = {}
        self._num_calls: dict[nn.Module, int] = {}  # of cells, in the forward pass of this step
        self._norms_of_calls: dict[nn.Module, dict[int, Tensor]] = {}
        self._coming: deque[_Coming] = deque()
        self._stats: TimeStats | None = None
        self._next_step = 1
        self._hook: weakref.finalize[..., RecurrentInputsProbe] | None = None
        if self.every is not None:
            self._listen()

    @property
    def is_recurrent(self) -> bool:
        """Whether there is anything to measure."""
        return self.every is not None

    def close(self) -> None:
        """Listen no more."""
        self.every = None
        self._stop_listening()

    def at_step(self, step: int) -> None:
        """Take what the backward pass of step number ``step`` has left; see whether the next is due."""
        if self.every is None:
            return
        for cell, of_calls in self._norms_of_calls.items():
            if len(of_calls) > 1:
                self._norms[cell] = torch.cat([of_calls[call] for call in sorted(of_calls)])
        self._num_calls, self._norms_of_calls = {}, {}
        if self._norms:
            norms = list(self._norms.values())
            self._norms = {}
            self._next_step = step + self.every
            self._coming.append(
                _Coming(step, tuple(len(each) for each in norms), HostCopy((), [torch.cat(norms)]))
            )
        if step + 1 < self._next_step:
            self._stop_listening()
        elif self._hook is None:
            self._listen()

    def stats_at(self, step: int) -> TimeStats | None:
        """Return what was measured up to step number ``step``, or None; ask for one step after another."""
        while self._coming and self._coming[0].step <= step:
            self._stats = self._read(self._coming.popleft())
        return self._stats

    def stats(self) -> TimeStats | None:
        """Return what was measured last and asked for, or None."""
        return self._stats

    def _listen(self) -> None:
        hook = _disabled(_WeakHook(self))
        self._hook = weakref.finalize(self, register_module_forward_pre_hook(hook).remove)

    def _stop_listening(self) -> None:
        if self._hook is not None:
            self._hook()
            self._hook = None

    def before_forward(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Give a recurrent layer an alias of its input; None for any other module."""
        if not (isinstance(module, _RECURRENT) and args and module.training and torch.is_grad_enabled()):
            return None
        try:
            if module not in self._modules:
                return None
            packed = args[0] if isinstance(args[0], PackedSequence) else None
            inputs = args[0] if packed is None else packed.data
            if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or _is_closed(inputs):
                return None
            alias = inputs.view_as(inputs) if inputs.requires_grad else inputs.detach().requires_grad_(True)
            if packed is not None:
                rows = _rows_of_longest(packed)
                alias.register_hook(lambda grad: self._keep(module, grad[rows], 0))  # type: ignore[no-untyped-call]
                return (packed._replace(data=alias), *args[1:])
            if isinstance(module, nn.RNNCellBase):
                call = self._num_calls[module] = self._num_calls.get(module, -1) + 1
                alias.register_hook(lambda grad: self._keep_of_call(module, grad, call))  # type: ignore[no-untyped-call]
            else:
                axis = 1 if alias.dim() == 3 and getattr(module, "batch_first", False) else 0
                alias.register_hook(lambda grad: self._keep(module, grad, axis))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001  # none of ours may reach the loop
            self._on_error(error)
            return None
        return (alias, *args[1:])

    def _keep(self, module: nn.Module, grad: Tensor, axis: int) -> None:
        try:
            self._norms[module] = _norms_by_time(grad.detach().movedim(axis, 0))
        except Exception as error:  # noqa: BLE001  # as above
            self._on_error(error)

    def _keep_of_call(self, module: nn.Module, grad: Tensor, call: int) -> None:
        try:
            self._norms_of_calls.setdefault(module, {})[call] = _norms_by_time(grad.detach()[None])
        except Exception as error:  # noqa: BLE001  # as above
            self._on_error(error)

    def _read(self, coming: _Coming) -> TimeStats:
        _, values = coming.copy.read()
        of_modules = np.split(values.astype(np.float32), np.cumsum(coming.lengths)[:-1])
        # NaN, where the end of the sequence gets no gradient, sorts last.
        norms = min(of_modules, key=lambda each: (math.isnan(ratio(each)), ratio(each)))
        return TimeStats(
            step=coming.step,
            norms=norms[None],
            slope=time_slope(norms),
            ratio=ratio(norms),
            spectral_radius=math.nan,
            names=self._names,
        )


def _is_closed(inputs: Tensor) -> bool:
    """Whether no gradient of ``inputs`` can be listened to, or none may be read."""
    return inputs.is_inference() or is_capturing(inputs)


def _rows_of_longest(packed: PackedSequence) -> Tensor:
    """Which rows of the data are the longest sequences, by time step: ``(num_steps, num_longest)``."""
    sizes = packed.batch_sizes  # sequences are sorted by length, and each time step has those that reach it
    rows = (sizes.cumsum(0) - sizes)[:, None] + torch.arange(int(sizes[-1]), device=sizes.device)
    return rows.to(packed.data.device)


def _norms_by_time(grad: Tensor) -> Tensor:
    """The norm of the gradient at each index of its first dimension."""
    with torch.no_grad():
        by_time = grad.flatten(1).float()
        largest = by_time.abs().amax(dim=1, keepdim=True)  # squares of small numbers are zero
        scale = torch.where(largest > 0, largest, torch.ones_like(largest))
        norms: Tensor = torch.linalg.vector_norm(by_time / scale, dim=1) * scale[:, 0]
        return norms


class _WeakHook:
    """The hook of a probe, which it does not keep in memory.

    Args:
        probe: The probe.
    """

    def __init__(self, probe: RecurrentInputsProbe) -> None:
        self._probe = weakref.ref(probe)

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        probe = self._probe()
        return None if probe is None else probe.before_forward(module, args)


def _disabled(hook: _WeakHook) -> Any:
    """The hook, with Dynamo kept out: recurrent layers break its graph anyway."""
    return torch.compiler.disable(hook.__call__)  # type: ignore[no-untyped-call]


def _is_any_compiled() -> bool:
    """Whether this program has compiled a module."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    kind = getattr(dynamo, "OptimizedModule", None)
    return kind is not None and any(issubclass(type(thing), kind) for thing in gc.get_objects())
