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

# Steps that stay in flight on an accelerator, so that nobody waits for the device.
_IN_FLIGHT = 1
# Steps that may be kept back to be handed over together; bounds how far a host can run ahead of its device.
_MOST_KEPT = 64


@dataclass(slots=True, eq=False)  # not frozen: that takes twice as long to make, once a step
class PendingStep:
    """A finished step whose numbers are on their way to the host; what each is, `StepRecord` says."""

    step: int
    copy: HostCopy
    present: list[int] | None
    has_square: bool
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


class PendingSteps:
    """Lands the finished steps in their order, several at a time.

    Args:
        layers: The layers that records speak of.
        probe: Is given the dear statistics as they arrive.
        keep_s: Seconds for which steps may be kept back, to be landed together.
    """

    def __init__(self, layers: Layers, probe: LayerStatsProbe, keep_s: float) -> None:
        self._layers = layers
        self._probe = probe
        self._keep_s = keep_s
        self._flights: deque[PendingStep] = deque()
        self._landed_s = -math.inf
        self._waited_s = 0.0

    def add(self, flight: PendingStep) -> None:
        """Take a finished step."""
        self._flights.append(flight)

    def take_waited_s(self) -> float:
        """Seconds that the device was waited for since the last call."""
        waited_s, self._waited_s = self._waited_s, 0.0
        return waited_s

    def land(self, *, wait: bool) -> list[StepRecord]:
        """The records of the steps that are due, as `OptimizerTap.records` says."""
        flights = self._flights
        now_s = time.perf_counter()
        if not wait and now_s - self._landed_s < self._keep_s and len(flights) < _MOST_KEPT:
            return []
        self._landed_s = now_s
        finished = []
        while flights and (wait or flights[0].copy.is_here or len(flights) > _IN_FLIGHT):
            finished.append(self._land(flights.popleft()))
        return finished

    def _arrived(self, copy: HostCopy) -> tuple[list[float], NDArray[np.floating]]:
        """Read ``copy``. A device that is behind the host is waited for here: that is time of its steps."""
        if copy.is_here:
            return copy.read()
        begin = time.perf_counter()
        values = copy.read()
        self._waited_s += time.perf_counter() - begin
        return values

    def _land(self, flight: PendingStep) -> StepRecord:
        """Turn the numbers of a step into its record."""
        (norm, loss, *steering), values = self._arrived(flight.copy)
        square = steering.pop() if flight.has_square else math.nan
        num_norms = len(self._layers.params) if flight.present is None else len(flight.present)
        norms = values[:num_norms]
        if flight.present is not None:  # no gradient reads as a norm of 0: nothing reached it
            everywhere = norms.dtype.type(0).repeat(len(self._layers.params))
            everywhere[flight.present] = norms
            norms = everywhere
        if flight.measured.indices:
            self._probe.store(flight.step, flight.measured, values[num_norms:])
        return StepRecord(
            step=flight.step,
            loss=loss,
            lr=flight.lr,
            base_lr=flight.base_lr,
            grad_norm=norm,
            applied_norm=steering[-1] if steering else norm,
            grad_norms=self._layers.reduce(norms),
            num_tokens=flight.num_tokens,
            num_samples=flight.num_samples,
            num_microbatches=flight.num_microbatches,
            elapsed_s=flight.elapsed_s,
            step_s=flight.step_s,
            watch_s=flight.watch_s,
            links=flight.links,
            link_norms=np.array(steering, dtype=np.float32),
            microbatch_square=square,
            skipped=flight.skipped,
            loss_scale=flight.loss_scale,
        )
