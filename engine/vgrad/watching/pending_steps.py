"""Finished steps whose numbers are on their way to the host, and the records that they become."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vgrad.events.step_record import ChainLink, StepRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.gradients.layers import Layers
    from vgrad.measure.host_copy import HostCopy
    from vgrad.measure.layer_stats import LayerStatsProbe, Picked

# Steps that stay in pending_step on an accelerator, so that nobody waits for the device.
_IN_FLIGHT = 1
# Steps that may be kept back to be handed over together; bounds how far a host can run ahead of its device.
_MOST_KEPT = 64


@dataclass(slots=True, eq=False)  # not frozen: that takes twice as long to make, once a step
class PendingStep:
    """A finished step whose numbers are on their way to the host; what each is, `StepRecord` says.

    Attributes:
        coming: What the last scalars of ``copy`` are: some of ``loss``, ``square``, ``found_inf``, ``scale``.
        logged: The loss that the loop has logged for this step; it beats the other one.
    """

    step: int
    copy: HostCopy
    coming: list[str]
    loss: float | None
    present: list[int] | None
    measured: Picked
    links: tuple[ChainLink, ...]
    skipped: bool
    loss_scale: float
    lr: float
    base_lr: float
    num_tokens: int
    num_samples: int
    num_microbatches: int
    elapsed_s: float
    step_s: float
    watch_s: float
    logged: float | HostCopy | None = None


class PendingSteps:
    """Lands the finished steps in their order, several at a time.

    Args:
        layers: The layers that records speak of.
        probe: Is given the expensive statistics as they arrive.
        keep_s: Seconds for which steps may be kept back, to be landed together.
        part: The part of the run that these are steps of.
    """

    def __init__(self, layers: Layers, probe: LayerStatsProbe, keep_s: float, part: int = 0) -> None:
        self._layers = layers
        self._probe = probe
        self._keep_s = keep_s
        self._part = part
        self._steps: deque[PendingStep] = deque()
        self._landed_s = -math.inf
        self._waited_s = 0.0

    def add(self, pending_step: PendingStep) -> None:
        """Take a finished step."""
        self._steps.append(pending_step)

    def correct_loss(self, loss: float | HostCopy) -> bool:
        """Give the newest step another loss; False if it has been landed."""
        if not self._steps:
            return False
        self._steps[-1].logged = loss
        return True

    def take_waited_s(self) -> float:
        """Seconds that the device was waited for since the last call."""
        waited_s, self._waited_s = self._waited_s, 0.0
        return waited_s

    def land(self, *, wait: bool) -> list[StepRecord]:
        """The records of the steps that are due, as `OptimizerTap.records` says."""
        pending = self._steps
        now_s = time.perf_counter()
        if not wait and now_s - self._landed_s < self._keep_s and len(pending) < _MOST_KEPT:
            return []
        self._landed_s = now_s
        finished = []
        while pending and (wait or pending[0].copy.is_here or len(pending) > _IN_FLIGHT):
            finished.append(self._land(pending.popleft()))
        return finished

    def _arrived(self, copy: HostCopy) -> tuple[list[float], NDArray[np.floating]]:
        """Read ``copy``. A device that is behind the host is waited for here: that is time of its steps."""
        if copy.is_here:
            return copy.read()
        begin = time.perf_counter()
        values = copy.read()
        self._waited_s += time.perf_counter() - begin
        return values

    def _land(self, pending_step: PendingStep) -> StepRecord:
        """Turn the numbers of a step into its record."""
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
        if pending_step.measured.indices:
            self._probe.store(pending_step.step, pending_step.measured, values[num_norms:])
        return StepRecord(
            step=pending_step.step,
            loss=loss,
            lr=pending_step.lr,
            base_lr=pending_step.base_lr,
            grad_norm=norm,
            applied_norm=steering[-1] if steering else norm,
            grad_norms=self._layers.reduce(norms),
            num_tokens=pending_step.num_tokens,
            num_samples=pending_step.num_samples,
            num_microbatches=pending_step.num_microbatches,
            elapsed_s=pending_step.elapsed_s,
            step_s=pending_step.step_s,
            watch_s=pending_step.watch_s,
            links=pending_step.links,
            link_norms=np.array(steering, dtype=np.float32),
            microbatch_square=arrived.get("square", math.nan),
            skipped=pending_step.skipped or arrived.get("found_inf", 0.0) > 0,
            loss_scale=arrived.get("scale", pending_step.loss_scale),
            part=self._part,
        )
