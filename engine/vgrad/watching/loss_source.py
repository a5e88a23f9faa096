"""Where the losses of a training loop come from that does not announce them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from vgrad.events.guesses import UNKNOWN, Guesses
from vgrad.watching.loss_at_backward import CaughtLoss, LossAtBackward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from vgrad.watching.guard import Guard


_log = logging.getLogger("vgrad")


class LossSource(Protocol):
    """Knows the loss of a step as it begins."""

    @property
    def guesses(self) -> Guesses:
        """What constant predictions cost, as far as the loss function shows it."""

    def take(self) -> CaughtLoss:
        """The loss of the step about to be done."""

    @property
    def num_passes(self) -> int:
        """Backward passes whose gradients add up now; 0 where that is not known."""

    def begin(self) -> None:
        """The closure of this step is about to be called: its losses add to those that no step has used."""

    def use_params(self, params: Sequence[nn.Parameter]) -> None:
        """The losses are about these parameters from here on."""

    def close(self) -> None:
        """Nobody asks any more."""


class LossFromCall:
    """Asks the loop, by a function of its own. An error of that is logged once, and the loss is not known.

    Args:
        loss: Returns the loss of the step about to be done, a float or a tensor of one entry; None where it
            is not known.
        also: Is closed with it.
    """

    def __init__(self, loss: Callable[[], Tensor | float | None], also: LossAtBackward | None = None) -> None:
        self.guesses = UNKNOWN  # nobody knows what it returns
        self._loss = loss
        self._also = also
        self._has_failed = False

    def take(self) -> CaughtLoss:
        """The loss of the step about to be done."""
        try:
            return CaughtLoss(_as_loss(self._loss()))
        except Exception:  # noqa: BLE001  # it runs inside the user's step
            if not self._has_failed:
                _log.exception("the function given as loss failed: its loss is unknown; training goes on")
            self._has_failed = True
            return CaughtLoss()

    @property
    def num_passes(self) -> int:
        """Not known."""
        return 0

    def begin(self) -> None:
        """Nothing: the loop knows."""

    def use_params(self, params: Sequence[nn.Parameter]) -> None:
        """Nothing, likewise."""

    def close(self) -> None:
        """Close what was to be closed with it."""
        if self._also is not None:
            self._also.close()


def _as_loss(loss: Tensor | float | None) -> Tensor | float | None:
    if isinstance(loss, Tensor):
        return loss.detach().reshape(())
    return None if loss is None else float(loss)


def losses_from(
    loss: Callable[[], Tensor | float | None] | None,
    params: Sequence[nn.Parameter],
    guard: Guard,
    after_backward: Callable[[], None] | None = None,
) -> LossSource:
    """Where the losses of ``params`` come from: the loop's own function, or else `LossAtBackward`.

    Args:
        loss: The function, if the loop has one.
        params: As `LossAtBackward` takes them.
        guard: Likewise.
        after_backward: Likewise; it is called in any case.
    """
    if loss is not None and after_backward is None:
        return LossFromCall(loss)
    caught = LossAtBackward(params, guard, after_backward)
    return caught if loss is None else LossFromCall(loss, caught)
