"""Finished steps whose numbers are on their way to the host, and the records that they become."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.events.step_record import StepRecord
    from vgrad.gradients.layers import Layers
    from vgrad.measure.host_copy import HostCopy
    from vgrad.measure.layer_stats import LayerStatsProbe, Picked

# Steps that are left pending on an accelerator, so that nobody waits for the device.
_NUM_LEFT = 1
# Steps that may be kept back to be handed over together; bounds how far a host can run ahead of its device.
_MOST_KEPT = 32
_NO_NORMS = np.zeros(0, dtype=np.float32)
_NO_NORMS.flags.writeable = False  # many records share it


@dataclass(slots=True, eq=False)  # not frozen: that takes twice as long to make, once a step
class PendingStep:
    """A finished step whose numbers are on their way to the host.

    Attributes:
        record: The step's record with every field that the host knows already; called with the others.
        copy: The joint norm before any transform, the joint norm after each link and the scalars that
            ``coming`` names; then the norm of each parameter's gradient and what was ``measured``.
        coming: What the last scalars of ``copy`` are: some of ``loss``, ``square``, ``found_inf``, ``scale``.
        loss: The loss, where it is not coming.
        loss_scale: What the loss was multiplied with, where it is not coming.
        skipped: Whether the step was dropped, as far as the host knows.
        present: Indices of the parameters that had a gradient; None for all.
        measured: Which expensive statistics were measured.
        is_clipped_whole: Whether the loop itself multiplied all gradients by one factor, to clip them; False
            where it clipped them in another way; None where it did not.
        logged: The loss that the loop has logged for this step; it beats the other one.
    """

    record: partial[StepRecord]
    copy: HostCopy
    coming: list[str]
    loss: float | None
    loss_scale: float
    skipped: bool
    present: list[int] | None
    measured: Picked
    is_clipped_whole: bool | None = None
    logged: float | HostCopy | None = None


class PendingSteps:
    """Turns finished steps into records in their order, several at a time.

    Args:
        layers: The layers that records speak of.
        probe: Is given the expensive statistics as they arrive.
        keep_s: Seconds for which steps may be kept back, to be turned into records together.
    """

    def __init__(self, layers: Layers, probe: LayerStatsProbe, keep_s: float) -> None:
        self._layers = layers
        self._probe = probe
        self._keep_s = keep_s
        self._steps: deque[PendingStep] = deque()
        self._taken_s = -math.inf
        self._waited_s = 0.0

    def add(self, pending_step: PendingStep) -> None:
        """Take a finished step."""
        self._steps.append(pending_step)

    def correct_loss(self, loss: float | HostCopy) -> bool:
        """Give the newest step another loss; False if its record has been made."""
        if not self._steps:
            return False
        self._steps[-1].logged = loss
        return True

    def take_waited_s(self) -> float:
        """Seconds that the device was waited for since the last call."""
        waited_s, self._waited_s = self._waited_s, 0.0
        return waited_s

    @property
    def are_due(self) -> bool:
        """Whether steps need not be kept back any longer."""
        return len(self._steps) >= _MOST_KEPT or time.perf_counter() - self._taken_s >= self._keep_s

    def take_records(self, *, wait: bool) -> list[StepRecord]:
        """The records of the steps that are due, as `OptimizerTap.records` says."""
        if not (wait or self.are_due):
            return []
        pending = self._steps
        self._taken_s = time.perf_counter()
        records: list[partial[StepRecord]] = []
        norms: list[NDArray[np.floating]] = []
        with np.errstate(all="ignore"):  # numpy may have been told to raise; what is 0 or inf is to be seen
            while pending and (wait or pending[0].copy.is_here or len(pending) > _NUM_LEFT):
                record, of_params = self._read(pending.popleft())
                records.append(record)
                norms.append(of_params)
            if not records:
                return []
            of_layers = self._layers.reduce(np.array(norms))  # of all steps at once: a third of the time
        return [record(grad_norms=row) for record, row in zip(records, of_layers, strict=True)]

    def _arrived(self, copy: HostCopy) -> tuple[list[float], NDArray[np.floating]]:
        """Read ``copy``. A device that is behind the host is waited for here: that is time of its steps."""
        if copy.is_here:
            return copy.read()
        begin = time.perf_counter()
        values = copy.read()
        self._waited_s += time.perf_counter() - begin
        return values

    def _read(self, pending_step: PendingStep) -> tuple[partial[StepRecord], NDArray[np.floating]]:
        """The record of a step, without the norms of its layers; and the norms of its parameters."""
        (norm, *steering), values = self._arrived(pending_step.copy)
        arrived = {name: steering.pop() for name in reversed(pending_step.coming)}
        loss = arrived.get("loss", pending_step.loss)
        logged = pending_step.logged
        if logged is not None:
            loss = logged if isinstance(logged, float) else self._arrived(logged)[0][0]
        num_norms = len(self._layers.params) if pending_step.present is None else len(pending_step.present)
        norms = values[:num_norms]
        if pending_step.present is not None:  # no gradient reads as a norm of 0: nothing reached it
            everywhere = norms.dtype.type(0).repeat(len(self._layers.params))
            everywhere[pending_step.present] = norms
            norms = everywhere
        if pending_step.is_clipped_whole is not None:
            norm, norms = _before_loop_clip(norm, steering[0], norms, is_whole=pending_step.is_clipped_whole)
        if pending_step.measured.indices:
            step = pending_step.record.keywords["step"]
            self._probe.store(step, pending_step.measured, values[num_norms:])
        record = partial(
            pending_step.record,
            loss=loss,
            grad_norm=norm,
            applied_norm=steering[-1] if steering else norm,
            link_norms=np.array(steering, dtype=np.float32) if steering else _NO_NORMS,
            microbatch_square=arrived.get("square", math.nan),
            skipped=pending_step.skipped or arrived.get("found_inf", 0.0) > 0,
            loss_scale=arrived.get("scale", pending_step.loss_scale),
        )
        return record, norms


def _before_loop_clip(
    before: float, after: float, norms: NDArray[np.floating], *, is_whole: bool
) -> tuple[float, NDArray[np.floating]]:
    """The joint norm and those of the parameters before the loop clipped, where they are known."""
    if not is_whole:
        # Infinite entries that the loop has made finite again are no fault of what is applied.
        is_mended = math.isfinite(after) and not math.isfinite(before)
        return (after if is_mended else before), norms
    if not (math.isfinite(before) and 0 < after < math.inf):
        return before, norms
    return before, norms * (before / after)
