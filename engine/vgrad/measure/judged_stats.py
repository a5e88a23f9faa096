"""What verdicts look at of every layer, measured on a schedule of steps and never by the clock.

So a run that is repeated, or captured and restored, gets the same verdicts at the same steps. What the
screen shows beyond that is measured by `vgrad.measure.layer_stats`, as often as the budget allows.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vgrad.events.layer_stats import HISTOGRAM_DECADES, LayerStats
from vgrad.gradients.grads import entries
from vgrad.measure.host_copy import HostCopy
from vgrad.measure.layer_values import UNDERFLOW, LayerValues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgrad.gradients.layers import Layers

LOOK_EVERY = 40  # steps between two looks of a judge; what it looks at is measured at a multiple of them

# Entries that are measured at one step: their weights and gradients are copied for it.
_MOST_ENTRIES = 2**22

# What one measurement of a whole model costs, and what one training step costs at least: measured on a CPU,
# where a step has the few samples with which a measurement weighs most.
_COST_S, _COST_S_PER_LAYER, _COST_S_PER_ENTRY = 5e-5, 1e-5, 3e-9
_STEP_S_PER_TENSOR, _STEP_S_PER_ENTRY = 2e-5, 2e-9

_NUM_VALUES = 4  # weight norm, update norm, entries that are zero, entries that float16 would round to zero


def steps_between(layer_sizes: Sequence[int], num_tensors: int, share: float) -> int | None:
    """Return how many steps lie between two measurements of a model; None for no measurements.

    A function of the model's size and ``share`` alone, so that it is the same on every machine.

    Args:
        layer_sizes: Entries of each layer.
        num_tensors: Parameters.
        share: Share of the training time that measuring may take, in [0, 1].
    """
    if share <= 0:
        return None
    num_entries = sum(layer_sizes)
    cost_s = _COST_S + _COST_S_PER_LAYER * len(layer_sizes) + _COST_S_PER_ENTRY * num_entries
    step_s = _STEP_S_PER_TENSOR * num_tensors + _STEP_S_PER_ENTRY * num_entries
    return LOOK_EVERY * math.ceil(cost_s / (share * step_s) / LOOK_EVERY)


class _Coming(NamedTuple):
    """A measurement on its way to the host.

    Attributes:
        step: Step at which it was made.
        indices: The layers.
        num_entries: Entries of each layer's gradient; NaN for a layer that had none.
        copy: Weight norms, update norms, entries that are not zero, entries that do not underflow.
    """

    step: int
    indices: range
    num_entries: list[float]
    copy: HostCopy


class JudgedStatsProbe:
    """Measures every layer around one step in every ``every`` steps.

    A large model is measured in groups of layers, one at each of the steps before, so that no step needs
    much memory for it.

    Args:
        layers: The layers of the model.
        share: Share of the training time that this may take, in [0, 1]; 0 for never.

    Attributes:
        every: Steps between two measurements; None for never.
        spent_s: Seconds that measuring took of the last step.
        loss_scale: What the loss is scaled with, a float or 0-d, for the entries that float16 would lose.
        grad_scale: What the gradients are still multiplied with when they are read, 0-d; None for 1.
    """

    def __init__(self, layers: Layers, share: float) -> None:
        self.spent_s = 0.0
        self.loss_scale: float | Tensor = 1.0
        self.grad_scale: Tensor | None = None
        self._layers = layers
        self._sizes = np.array(layers.sizes, dtype=np.float64)
        self._groups = _groups_of(layers.sizes)
        self.every = steps_between(layers.sizes, len(layers.params), share)
        if self.every is not None and self.every < len(self._groups):
            self.every = LOOK_EVERY * math.ceil(len(self._groups) / LOOK_EVERY)
        self._open: range | None = None
        self._gradients: tuple[list[float], list[Tensor]] = [], []
        self._weights: Tensor | None = None
        self._coming: deque[_Coming] = deque()
        self._measured = LayerValues(len(layers.names), _NUM_VALUES)
        self._stats: LayerStats | None = None

    def forget(self) -> None:
        """Forget all measurements: they are of other weights than there are now."""
        self._coming.clear()
        self._measured.forget()
        self._stats = None

    def before_transforms(self, step: int) -> None:
        """Read the gradients if step number ``step``, which is about to be done, is one of the schedule."""
        self.spent_s = 0.0
        if self.every is None:
            return
        group = (step + len(self._groups) - 1) % self.every  # the last group falls on a multiple
        if group >= len(self._groups):
            return  # most steps end here
        begin = time.perf_counter()
        self._open = self._groups[group]
        self._gradients = self._read_gradients(self._open)
        self.spent_s = time.perf_counter() - begin

    def before_step(self) -> None:
        """Keep the weights, to see how far they move."""
        if self._open is None:
            return
        begin = time.perf_counter()
        self._weights = self._read_weights(self._open)
        self.spent_s += time.perf_counter() - begin

    def after_step(self, step: int) -> None:
        """Finish the measurement after step number ``step`` and send it on its way to the host."""
        if self._open is None or self._weights is None:
            return
        begin = time.perf_counter()
        sizes = [self._layers.sizes[index] for index in self._open]
        moved = self._read_weights(self._open) - self._weights
        dtype = torch.promote_types(moved.dtype, torch.float32)  # a half-precision norm overflows at 65,504
        norms = [
            torch.stack(torch._foreach_norm(flat.split_with_sizes(sizes), 2, dtype=dtype)).float()
            for flat in (self._weights, moved)
        ]
        num_entries, counts = self._gradients
        copy = HostCopy((), [torch.cat([*norms, *counts])])
        self._coming.append(_Coming(step, self._open, num_entries, copy))
        self.cancel()
        self.spent_s += time.perf_counter() - begin

    def cancel(self) -> None:
        """Forget the measurement under way: its step raised."""
        self._open, self._weights, self._gradients = None, None, ([], [])

    def stats_at(self, step: int) -> LayerStats | None:
        """Return what was measured up to and including step number ``step``; None if nothing was.

        Ask for one step after another. Waits for a device only where that has not come as far as ``step``.
        """
        while self._coming and self._coming[0].step <= step:
            self._take(self._coming.popleft())
            self._stats = self._as_stats()
        return self._stats

    @property
    def newest(self) -> LayerStats | None:
        """What `stats_at` returned last."""
        return self._stats

    def _take(self, coming: _Coming) -> None:
        rows = slice(coming.indices.start, coming.indices.stop)
        _, values = coming.copy.read()
        weight_norm, update_norm, not_zero, kept = values.reshape(_NUM_VALUES, -1)
        whole = np.array(coming.num_entries)
        measured = np.stack((weight_norm, update_norm, whole - not_zero, whole - kept), axis=1)
        self._measured.put(rows, measured, coming.step)

    def capture(self) -> dict[str, Tensor]:
        """Return the values and the steps at which they were measured; none may be on their way."""
        return self._measured.capture()

    def restore_(self, captured: Mapping[str, Tensor]) -> None:
        """Go back to what `capture` returned.

        Raises:
            ValueError: If it has another number of layers.
        """
        self._measured.restore_(captured)
        self._coming.clear()
        self._stats = self._as_stats() if (self._measured.measured_step >= 0).any() else None

    def _as_stats(self) -> LayerStats:
        values = self._measured.values.copy()
        unknown = np.full(len(values), np.nan, dtype=np.float32)
        num_bins = HISTOGRAM_DECADES[1] - HISTOGRAM_DECADES[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            update_ratio = values[:, 1] / values[:, 0]
        return LayerStats(
            measured_step=self._measured.measured_step.copy(),
            entries_step=np.full(len(values), -1, dtype=np.int64),
            weight_norm=values[:, 0],
            update_ratio=update_ratio,
            grad_max=unknown,
            zero_share=(values[:, 2] / self._sizes).astype(np.float32),
            underflow_share=(values[:, 3] / self._sizes).astype(np.float32),
            num_non_finite=unknown,
            histogram=np.full((len(values), num_bins), np.nan, dtype=np.float32),
        )

    def _read_weights(self, indices: range) -> Tensor:
        """A copy of all weights of these layers, in a row."""
        return torch.cat([p.detach().flatten() for index in indices for p in self._layers.params_of(index)])

    def _read_gradients(self, indices: range) -> tuple[list[float], list[Tensor]]:
        """Entries of each of these layers' gradients; of them, how many are not zero and do not underflow."""
        present = [
            [param.grad.detach() for param in self._layers.params_of(index) if param.grad is not None]
            for index in indices
        ]
        # What a sparse gradient does not mention is zero; of a layer without a gradient nothing is known.
        num_entries = [sum(grad.numel() for grad in grads) if grads else math.nan for grads in present]
        parts = [[entries(grad).flatten() for grad in grads] for grads in present]
        flat = torch.cat([part for layer in parts for part in layer] or [torch.zeros(0, device="cpu")])
        if flat.is_complex():
            flat = flat.abs()
        scaled = flat
        if isinstance(self.loss_scale, Tensor) or self.loss_scale != 1.0 or self.grad_scale is not None:
            scaled = scaled * self.loss_scale
        if self.grad_scale is not None:
            scaled = scaled / self.grad_scale
        sizes = [sum(part.numel() for part in layer) for layer in parts]
        counts = [
            torch.stack([torch.count_nonzero(layer) for layer in each.split_with_sizes(sizes)]).float()
            for each in (flat, F.hardshrink(scaled, UNDERFLOW))
        ]
        return num_entries, counts


def _groups_of(sizes: Sequence[int]) -> list[range]:
    """Consecutive layers that have few enough entries together, or a single one that has more."""
    groups: list[range] = []
    begin, total = 0, 0
    for index, size in enumerate(sizes):
        if index > begin and total + size > _MOST_ENTRIES:
            groups.append(range(begin, index))
            begin, total = index, 0
        total += size
    return [*groups, range(begin, len(sizes))]
