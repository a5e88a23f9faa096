"""The expensive statistics of single layers: measured in turn, as often as the budget allows.

A layer is measured around one optimizer step: its gradient before any transform, its weights
before the step, and how far they really moved. The numbers are copied to the host with the step's
one transfer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vgrad.events.layer_stats import HISTOGRAM_DECADES, LayerStats
from vgrad.gradients.grads import entries
from vgrad.gradients.layers import Layers
from vgrad.measure.budget import Budget
from vgrad.measure.device_clock import DeviceClock, DeviceTime
from vgrad.measure.layer_values import UNDERFLOW, LayerValues

NUM_BINS = HISTOGRAM_DECADES[1] - HISTOGRAM_DECADES[0]

_NUM_SCALARS = 6  # weight norm, update norm, largest entry; zero, underflowing and non-finite entries
_WIDTH = _NUM_SCALARS + NUM_BINS
_MOST_PER_STEP = 64  # layers; bounds the size of one step's transfer

# First guess of what a layer costs, before it has been measured once.
_GUESS_S = 2e-4
_GUESS_S_PER_ENTRY = 1.5e-8

_TRUST = 0.3  # in a cost that has shrunk


@dataclass(slots=True)
class _Measurement:
    """One layer under measurement, from before the step to after it."""

    index: int
    gradient: Tensor
    weights_before: list[Tensor]
    cost_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """What was measured around one step.

    Attributes:
        indices: The layers.
        host_s: What it took of the host's time.
        device_time: What it took of the device's.
        is_paid: Whether the budget pays for it.
    """

    indices: list[int]
    host_s: float
    device_time: DeviceTime
    is_paid: bool


_NOTHING = Picked([], 0.0, DeviceTime(()), is_paid=True)


class LayerStatsProbe:
    """Measures a few layers per step, round and round.

    The first measurement is not paid for: an accelerator may take long to load what is needed for it, and no
    other will cost as much.

    Args:
        layers: The layers of the model.
        budget: What may be spent; this probe spends from it.

    Attributes:
        spent_s: Seconds that the measurements of the last step took.
        max_cost_s: Seconds that the most expensive layer costs: the budget must be able to save that up.
        loss_scale: What the loss is scaled with, a float or 0-d, for the share that float16 would lose.
        grad_scale: What the gradients are still multiplied with when they are read, 0-d; None for 1.
    """

    def __init__(self, layers: Layers, budget: Budget) -> None:
        self.spent_s = 0.0
        self.loss_scale: float | Tensor = 1.0
        self.grad_scale: Tensor | None = None
        self._layers = layers
        self._budget = budget
        self._next = 0
        self._open: list[_Measurement] = []
        self._is_warm = False
        self._clock = DeviceClock(layers.params[0].device)
        self._cost_s = [_GUESS_S + _GUESS_S_PER_ENTRY * size for size in layers.sizes]
        self.max_cost_s = max(self._cost_s)
        self._measured = LayerValues(len(layers.names), _WIDTH)
        self._forgotten_step = -1
        self._sizes = np.array(layers.sizes, dtype=np.float64)

    def before_transforms(self) -> None:
        """Pick the layers that this step can afford and read their gradients."""
        if not self._budget.affords(self._cost_s[self._next]):
            return  # most steps end here
        affordable: list[int] = []
        total_s = 0.0
        for offset in range(min(len(self._layers.names), _MOST_PER_STEP)):
            index = (self._next + offset) % len(self._layers.names)
            total_s += self._cost_s[index]
            if not self._budget.affords(total_s):
                break
            affordable.append(index)
        with self._clock:
            for index in affordable:
                begin = time.perf_counter()
                gradient = self._read_gradient(index)
                self._open.append(_Measurement(index, gradient, [], time.perf_counter() - begin))
        self._next = (self._next + len(affordable)) % len(self._layers.names)

    def cancel(self) -> None:
        """Forget what was picked: the step raised."""
        self._open.clear()
        self._clock.take()

    def before_step(self) -> None:
        """Keep the weights of the picked layers, to see how far they move."""
        if not self._open:
            return
        with self._clock:
            for layer in self._open:
                begin = time.perf_counter()
                layer.weights_before = [p.detach().clone() for p in self._layers.params_of(layer.index)]
                layer.cost_s += time.perf_counter() - begin

    def after_step(self) -> tuple[Picked, list[Tensor]]:
        """Finish the picked layers.

        Returns:
            What was measured, and for each layer of it a vector for `store`, still on its device.
        """
        vectors: list[Tensor] = []
        self.spent_s = 0.0
        if not self._open:
            return _NOTHING, vectors
        with self._clock:
            for layer in self._open:
                begin = time.perf_counter()
                vectors.append(self._finish(layer))
                layer.cost_s += time.perf_counter() - begin
                self.spent_s += layer.cost_s
        indices = [layer.index for layer in self._open]
        picked = Picked(indices, self.spent_s, self._clock.take(), is_paid=self._is_warm)
        if picked.is_paid:
            for layer in self._open:
                self._budget.spend(layer.cost_s)
                self._learn(layer.index, layer.cost_s)
            self.max_cost_s = max(self._cost_s)
        self._is_warm = True
        self._open.clear()
        return picked, vectors

    def _finish(self, layer: _Measurement) -> Tensor:
        after = [param.detach() for param in self._layers.params_of(layer.index)]
        moved = torch._foreach_sub(after, layer.weights_before)
        # At least float32: a half-precision norm overflows at 65,504.
        dtype = reduce(torch.promote_types, {weights.dtype for weights in after}, torch.float32)
        weight_norm = torch.stack(torch._foreach_norm(layer.weights_before, 2, dtype=dtype)).norm()
        update_norm = torch.stack(torch._foreach_norm(moved, 2, dtype=dtype)).norm()
        ends = torch.stack((weight_norm, update_norm)).float()
        return torch.cat((ends, layer.gradient))

    def _learn(self, index: int, cost_s: float) -> None:
        """Trust a cost at once when it grows and slowly when it shrinks.

        So the budget holds on a machine whose speed drifts.
        """
        known_s = self._cost_s[index]
        self._cost_s[index] = max(cost_s, known_s + _TRUST * (cost_s - known_s))

    def _learn_device_time(self, picked: Picked) -> None:
        """Pay for what the device did while the host went on, and expect it the next time.

        The host launches in no time what a device may be busy with for long. Which layer took how much is
        not measured, for that would take events around each: each counts by its size.
        """
        device_s = picked.device_time.seconds()
        if not picked.is_paid or device_s <= picked.host_s:
            return
        self._budget.spend(device_s - picked.host_s)
        total = sum(self._layers.sizes[index] for index in picked.indices)
        for index in picked.indices:
            self._learn(index, device_s * self._layers.sizes[index] / total)
        self.max_cost_s = max(self._cost_s)

    def store(self, step: int, picked: Picked, values: NDArray[np.floating]) -> None:
        """Take the vectors of `after_step` as they arrive on the host.

        Args:
            step: Step at which they were measured.
            picked: As `after_step` returned it.
            values: All vectors in a row, of shape ``(len(picked.indices) * width,)``.
        """
        indices = picked.indices
        self._learn_device_time(picked)
        if step <= self._forgotten_step:
            return  # it was on its way when the weights became others
        self._measured.put(indices, values.reshape(len(indices), _WIDTH), step)

    def forget(self, step: int) -> None:
        """Forget what was measured up to ``step``: the weights are others now."""
        self._forgotten_step = step
        self._measured.forget()

    def capture(self) -> dict[str, Tensor]:
        """Return the values and the steps at which they were measured; none may be on their way."""
        return self._measured.capture()

    def restore_(self, captured: Mapping[str, Tensor]) -> None:
        """Go back to what `capture` returned.

        Raises:
            ValueError: If it has another number of layers.
        """
        self._measured.restore_(captured)
        self._forgotten_step = -1

    def snapshot(self) -> LayerStats:
        """All statistics as they are now, in arrays of their own."""
        values = self._measured.values
        with np.errstate(divide="ignore", invalid="ignore"):
            update_ratio = values[:, 1] / values[:, 0]
        sizes = self._sizes
        return LayerStats(
            measured_step=self._measured.measured_step.copy(),
            entries_step=self._measured.measured_step.copy(),
            weight_norm=values[:, 0].copy(),
            update_ratio=update_ratio,
            grad_max=values[:, 2].copy(),
            zero_share=(values[:, 3] / sizes).astype(np.float32),
            underflow_share=(values[:, 4] / sizes).astype(np.float32),
            num_non_finite=values[:, 5].copy(),
            histogram=(values[:, _NUM_SCALARS:] / sizes[:, None]).astype(np.float32),
        )

    def _read_gradient(self, index: int) -> Tensor:
        """Largest entry, numbers of zeros and the like, and histogram counts of one layer's gradient."""
        dense_or_sparse = [p.grad.detach() for p in self._layers.params_of(index) if p.grad is not None]
        size = sum(grad.numel() for grad in dense_or_sparse)
        grads = [entries(grad) for grad in dense_or_sparse]
        if not grads:
            param = self._layers.params_of(index)[0]
            return torch.full((_WIDTH - 2,), float("nan"), device=param.device)
        flat = grads[0].flatten() if len(grads) == 1 else torch.cat([grad.flatten() for grad in grads])
        if not flat.numel():  # a sparse gradient without an entry
            flat = flat.new_zeros(1)
        magnitude = flat.abs().float()
        if self.grad_scale is not None:
            magnitude = magnitude / self.grad_scale
        # What a sparse gradient does not mention is zero. Counted before anything is rounded to float32.
        num_zeros = size - torch.count_nonzero(flat)
        num_kept = torch.count_nonzero(magnitude > UNDERFLOW / self.loss_scale)
        num_non_finite = flat.numel() - torch.count_nonzero(magnitude.isfinite())
        num_lost = size - num_kept - torch.count_nonzero(magnitude.isnan())
        low, high = HISTOGRAM_DECADES
        # Entries outside the decades belong to the outer bins; exact zeros (-inf) to none.
        decades = magnitude.log10()
        decades = torch.where(magnitude > 0, decades.clamp(low, high), decades)
        counts = torch.histc(decades, bins=NUM_BINS, min=low, max=high)
        numbers = torch.stack((num_zeros, num_lost, num_non_finite)).float()
        return torch.cat((magnitude.max().unsqueeze(0), numbers, counts))
