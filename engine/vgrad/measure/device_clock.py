"""How long a device works on what the host has launched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch

from vgrad.measure.host_copy import ASYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Sequence


class DeviceClock:
    """Times stretches of work on an accelerator, without waiting for it.

    Use it as a context manager around each stretch; the host's own clock is not its business. On a
    device that works while the host waits, a CPU, it does nothing.

    Args:
        device: Where the work is done.
    """

    __slots__ = ("_device", "_laps")

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type in ASYNCHRONOUS else None
        self._laps: list[torch.Event] = []

    def __enter__(self) -> Self:
        self._mark()
        return self

    def __exit__(self, *_: object) -> None:
        self._mark()

    def _mark(self) -> None:
        if self._device is not None:
            event = torch.Event(device=self._device, enable_timing=True)
            event.record()
            self._laps.append(event)

    def take(self) -> DeviceTime:
        """The stretches since the last call."""
        laps, self._laps = self._laps, []
        return DeviceTime(laps)


class DeviceTime:
    """Stretches of device work; how long they took is known once the device has done them.

    Args:
        marks: Events at the beginning and the end of each stretch, in turn.
    """

    __slots__ = ("_marks",)

    def __init__(self, marks: Sequence[torch.Event]) -> None:
        self._marks = marks

    def seconds(self) -> float:
        """Sum over all stretches; 0 where the host did the work itself.

        Ask only when a copy that was recorded later on the same stream has arrived.
        """
        pairs = zip(self._marks[::2], self._marks[1::2], strict=True)
        return sum(begin.elapsed_time(end) for begin, end in pairs) / 1e3
