"""Catches the loss of a training loop that does not report one: the tensor that ``backward`` is called on."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.gradients.gradient_reader import num_writes
from vgrad.measure.latest_guesses import LatestGuesses
from vgrad.measure.loss_guesses import NOTHING_SEEN, SeenGuesses
from vgrad.watching.backward_hooks import backward_threads, catch_losses, stop_catching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from vgrad.events.guesses import Guesses
    from vgrad.watching.guard import Guard

_NUM_LOOKED_AT = 4
_LOOK_UP_EVERY = 20  # steps
_MOST_ASKED = 16


@dataclass(slots=True)
class CaughtLoss:
    """The loss whose gradient some parameters hold.

    Attributes:
        loss: A float on a CPU, a 0-d tensor on an accelerator, where it is not read back; None where it is
            not known. Losses add up where their gradients do.
        scale: What a `GradScaler` multiplies it with, likewise; None where there is none.
        num_passes: Backward passes whose gradients add up; 0 where that is not known.
        guesses: What constant predictions would have cost, see `vgrad.measure.loss_guesses`.
    """

    loss: Tensor | float | None = None
    scale: Tensor | float | None = None
    num_passes: int = 0
    guesses: SeenGuesses = NOTHING_SEEN


class LossAtBackward:
    """Knows the loss of the gradients that the parameters of one optimizer hold now.

    A backward pass that changes none of their gradients is about something else. A few of them are looked at.
    While none of these has ever had a gradient, the loss is that of the last pass: it may be meant for them.
    Gradients that another thread trains are not looked at: torch writes them without holding the GIL, and
    reading ``p.grad`` at that moment crashes the process.

    Args:
        params: The parameters. Empty: take every backward pass to be theirs.
        guard: Takes errors of ours that must not reach the loop.
        after_backward: Called in the calling thread when a backward pass of theirs has ended.

    Attributes:
        guard: As given.
        is_open: Whether it catches losses.
        looks_up_guesses: Whether this is such a step.
    """

    def __init__(
        self,
        params: Sequence[nn.Parameter],
        guard: Guard,
        after_backward: Callable[[], None] | None = None,
    ) -> None:
        self.guard = guard
        self._latest = LatestGuesses()
        self.looks_up_guesses = True
        self._num_taken = 0
        self._caught = CaughtLoss()
        self._is_used = True  # by a step: the next loss begins a new sum
        self._of_others = CaughtLoss()  # of the last pass since that step, if it changed no gradient
        self._is_silent = True  # no gradient so far
        self._thread: int | None = None  # that trains these parameters; None while that is not known
        self._asked: Counter[int] = Counter()  # by thread: its passes that were found not to be theirs
        self._after_backward = after_backward
        self._before: list[int] = []
        self._last: list[int] = []
        self._at_step: list[int] = []  # as the last step began
        self.use_params(params)
        self.open()

    def use_params(self, params: Sequence[nn.Parameter]) -> None:
        """Look at the gradients of these parameters from here on.

        Where no pass since the last step changed a gradient of those before, the last pass was about these.
        """
        self._looked_at = params[:: max(1, len(params) // _NUM_LOOKED_AT)]
        if self._is_used:
            self._caught = self._of_others

    def open(self) -> None:
        """Catch losses, again after `close`."""
        self.is_open = True
        catch_losses(self)

    def close(self) -> None:
        """Catch no more; the last one takes the wrappers off. Closing twice is harmless."""
        self.is_open = False
        stop_catching(self)

    def take(self) -> CaughtLoss:
        """The loss that the step about to be done is about.

        A loop may write the gradients itself between two steps, without a backward pass of these parameters:
        copies of those of half-precision weights, or what `torch.autograd.grad` returned. Then the loss is
        that of the last pass since the step before; it is not known if there was none.
        """
        state = self._state()
        if self._is_used and any(state) and state != self._at_step:
            self._caught = self._of_others
        self._at_step = state
        self._is_used = True
        self._of_others = CaughtLoss()
        if self._thread not in backward_threads():
            self._thread = threading.get_ident()
        if self.looks_up_guesses:
            self._latest.take(self._caught.guesses)
        self.looks_up_guesses = self._num_taken % _LOOK_UP_EVERY == 0
        self._num_taken += 1
        return self._caught

    @property
    def guesses(self) -> Guesses:
        """What constant predictions cost, as of one of the last steps at which it was looked up.

        That is one in twenty, for a loop may change its loss.
        """
        return self._latest.guesses

    @property
    def num_passes(self) -> int:
        """Backward passes whose gradients add up now."""
        return self._caught.num_passes

    def begin(self) -> None:
        """The closure of this step is about to be called: its losses add to those that no step has used."""
        if self._is_used:
            self._caught = CaughtLoss()

    def may_look(self, thread: int) -> bool:
        """Whether no other thread than ``thread``, which runs a pass, can be writing the gradients."""
        if not self._looked_at:
            return True
        threads = backward_threads()
        return self._thread == thread if self._thread in threads else len(threads) == 1

    def claim(self, thread: int, leaves: Callable[[], set[int]]) -> bool:
        """Whether a pass that begins is the first of these parameters, so that ``thread`` trains them.

        Args:
            thread: The thread that runs the pass.
            leaves: Returns what the pass writes gradients into, see `vgrad.watching.backward_call.leaves_of`.
                It is asked for in the first passes of a thread alone, as walking through the graph takes a
                while.
        """
        if self._thread in backward_threads() or self._asked[thread] >= _MOST_ASKED:
            return False
        self._asked[thread] += 1
        if leaves().isdisjoint(map(id, self._looked_at)):
            return False
        self._thread = thread
        return True

    def before_backward(self) -> None:
        """A backward pass begins."""
        self._before = self._state()

    def after_backward(
        self, loss: Tensor | float | None, scale: Tensor | float | None, guesses: SeenGuesses
    ) -> None:
        """A backward pass has ended.

        Args:
            loss: Its loss, as in `CaughtLoss`.
            scale: What the loss was multiplied with.
            guesses: What constant predictions would have cost; unknown where it was not looked up.
        """
        before, now = self._before, self._state()
        self._is_silent = self._is_silent and not any(now)
        last, self._last = self._last, now
        if before != now or not now:
            # Gradients that were cleared or written to meanwhile are not those of the losses so far.
            if self._is_used or before != last or not any(before):
                self._caught = CaughtLoss(loss, scale, 1, guesses)
            else:
                so_far = self._caught.loss
                total = None if loss is None or so_far is None else so_far + loss
                num_passes = self._caught.num_passes + 1
                self._caught = CaughtLoss(total, scale, num_passes, self._caught.guesses.plus(guesses))
            self._is_used = False
            if self._after_backward is not None:
                self._after_backward()
        elif self._is_silent:
            self._caught, self._is_used = CaughtLoss(loss, scale, 0, guesses), False
        else:
            self._of_others = CaughtLoss(loss, scale, 1, guesses)

    def _state(self) -> list[int]:
        """Changes whenever a gradient that is looked at is another one or is written to; zeros for None."""
        try:
            return [
                0 if (grad := param.grad) is None else (id(grad) << 32) + grad._version
                for param in self._looked_at
            ]
        except RuntimeError:  # one was made in inference mode
            return [
                0 if (grad := param.grad) is None else (id(grad) << 32) + num_writes(grad)
                for param in self._looked_at
            ]
