"""What constant predictions cost, as of the newest look at a loss whose numbers have come to the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from vgrad.events.guesses import UNKNOWN, Guesses
from vgrad.measure.host_copy import HostCopy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vgrad.measure.loss_guesses import SeenGuesses


class LatestGuesses:
    """Takes one look after another. Nobody waits for a device here.

    A look at a loss on a CPU counts at once. The numbers of one on an accelerator are copied while training
    goes on, and count from the next look on: many steps later, so that they are there. Where they are not
    yet, the next look is left out.

    Attributes:
        guesses: What guesses cost.
    """

    def __init__(self) -> None:
        self.guesses = UNKNOWN
        self._coming: HostCopy | None = None

    def take(self, seen: SeenGuesses) -> None:
        """Take another look."""
        if self._coming is not None:
            if not self._coming.is_ready:
                return
            self.guesses = _read(self._coming)
        copy = _copy_of(seen)
        if copy.is_here:
            self.guesses, self._coming = _read(copy), None
        else:
            self._coming = copy

    def capture(self) -> dict[str, Any]:
        """Return what is known, and what is coming, which is waited for."""
        coming = None if self._coming is None else list(_read(self._coming))
        return {"known": list(self.guesses), "coming": coming}

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned."""
        self.guesses = Guesses(*captured["known"])
        coming = captured["coming"]
        self._coming = None if coming is None else HostCopy(coming, ())


def _copy_of(seen: SeenGuesses) -> HostCopy:
    numbers = (seen.uniform, seen.over_constant)
    on_device = next((number for number in numbers if isinstance(number, Tensor)), None)
    if on_device is None:
        return HostCopy(numbers, ())
    # A copy is of one device alone.
    return HostCopy([n if isinstance(n, Tensor) else on_device.new_full((), n) for n in numbers], ())


def _read(copy: HostCopy) -> Guesses:
    uniform, over_constant = copy.read()[0]
    return Guesses(uniform, over_constant)
