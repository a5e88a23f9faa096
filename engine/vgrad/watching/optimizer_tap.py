"""Reads and steers the gradients of one optimizer from its step hooks, in anybody's loop.

A step pre-hook sees gradients after backward, after an all-reduce and after unscaling. ``step(closure)`` is
the exception: there the backward pass runs inside the step, and the gradients are read when the closure
returns.

Watching alone changes nothing: while no control is on, no gradient, weight, learning rate or random state is
written. If ``step()`` raises, what was changed for it is put back, but for gradients changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from vgrad.gradients.layers import Layers, find_layers
from vgrad.measure.stream_capture import is_capturing
from vgrad.watching.closures import closure_of, with_closure
from vgrad.watching.fused_scaling import FusedScaling
from vgrad.watching.gradient_tap import GradientTap
from vgrad.watching.guard import report
from vgrad.watching.hooks import StepHooks
from vgrad.watching.raised_step import WatchedArgs
from vgrad.watching.sharded_part import remove_hooks
from vgrad.watching.step_rates import StepRates

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from vgrad.controls.controls import Controls
    from vgrad.watching.guard import Guard
    from vgrad.watching.loss_source import LossSource


class OptimizerTap(GradientTap):
    """Watches and steers the gradients of one optimizer.

    Finished steps come out of `records`. A loop that knows its loss announces it with `microbatch` before
    ``optimizer.step()``; else it is taken from ``losses``, else it is not known. Use the tap as a context
    manager, or call `remove` when done.

    Args:
        model: The model.
        optimizer: Its optimizer. Hooks are registered on it.
        controls: What is done to the gradients from the first step on. Backward, precision, the
            optimizer and the model are the training loop's, and those controls are not looked at here.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        seed: Seed of the transforms that draw random numbers, each from a generator of its own.
        keep_s: Seconds for which `records` may keep finished steps back, to hand several over at once. Making
            a record is quick while the processor has the code at hand, and not right after a backward pass.
        layers: The layers, where they are not those of all trainable parameters of ``model``.
        part: The part of the run that this optimizer is, for the records.
        losses: Where losses come from that nobody announces.

    Attributes:
        layers: The layers that records speak of, in their order.
        meter: Measures the steps.
        guard: Takes errors of ours that must not reach the loop; None lets them through.
        on_boundary: Called as a step begins, where no accumulation window is open.
        on_control_dropped: Called with a control that could not be carried out, and the reason; it is off.
        on_stepped: Called when a step has ended.
        on_capture: Called as a step begins that becomes part of a CUDA graph. It is left alone: no Python
            runs where it is replayed.

    Raises:
        ConfigError: If nothing is trainable, or the controls cannot be carried out.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        controls: Controls | None = None,
        watch_budget: float = 0.02,
        seed: int = 0,
        keep_s: float = 0.0,
        layers: Layers | None = None,
        part: int = 0,
        losses: LossSource | None = None,
    ) -> None:
        super().__init__(
            find_layers(model) if layers is None else layers,
            watch_budget=watch_budget,
            seed=seed,
            keep_s=keep_s,
            part=part,
            losses=losses,
        )
        self.guard: Guard | None = None
        self.on_boundary: Callable[[], None] | None = None
        self.on_capture: Callable[[], None] | None = None
        self._is_stepping = False
        self._rates = StepRates(optimizer)
        self._scaling = FusedScaling(optimizer)
        if controls is not None:
            self.controls = controls
        self._hooks = StepHooks(optimizer, self._before_step, self._after_step, self._before_state_dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the hooks off the optimizer again, and put back what an unfinished step has set aside."""
        remove_hooks(self._hooks, self._reader.sums)
        self.recover()
        self._window.put_back_()

    def move_to(self, optimizer: torch.optim.Optimizer) -> None:
        """Watch and steer the steps of another optimizer from here on, over the same parameters."""
        self._hooks.remove()
        self._rates, self._scaling = StepRates(optimizer), FusedScaling(optimizer)
        self._hooks = StepHooks(optimizer, self._before_step, self._after_step, self._before_state_dict)

    def recover(self) -> None:
        """If the last step raised, put back the learning rates and the gradients that were set aside."""
        if not self._is_stepping:
            return
        self._is_stepping = False
        self._rates.put_back_()
        self._cancel()

    def _before_step(self, _: object, args: Any, kwargs: Any) -> Any:
        try:
            if is_capturing(self.layers.params[0]):
                if self.on_capture is not None:
                    self.on_capture()
                return None
            self._reader.begin_step()
            self.recover()
            if self.on_boundary is not None and not self._window.num_microbatches:
                self.on_boundary()
            self._is_stepping, self._is_read, self._grads = True, False, None
            closure = closure_of(args, kwargs)
            if closure is None:
                self._steer(self._scaling)
            else:
                if self._losses is not None:
                    self._losses.begin()
                args, kwargs = with_closure(args, kwargs, closure, self._after_closure)
            self._rates.set_(self._controls, self.step + 1)
            if closure is None and not (
                self._rates.are_set or self._chain.set_aside or self._window.is_aside
            ):
                return None  # nothing is to be put back
            return WatchedArgs.of(args, self.recover), kwargs
        except Exception as error:  # noqa: BLE001  # none of ours may reach the user's step
            self._failed(error)
        return None

    def _after_closure(self, loss: object) -> None:
        """The closure of ``step(closure)`` has run: the gradients are there now."""
        try:
            if self._is_stepping and self._is_read:
                self._steer_again(self._scaling)
            elif self._is_stepping:
                if (
                    self._losses is None
                    and not self._window.is_announced
                    and isinstance(loss, Tensor | float)
                ):
                    self.microbatch(loss)
                self._steer(self._scaling)
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(error)

    def _after_step(self, *_: object) -> None:
        try:
            if not self._is_stepping:
                return
            if not self._is_read:  # the closure was never called
                self._steer(self._scaling, is_over=True)
            self._rates.put_back_()
            if self.meter.is_under_way:
                self._finish(self._scaling, self._rates)
            if self.on_stepped is not None:
                self.on_stepped()
            self._is_stepping = False  # last: what a Ctrl-C has kept from being put back, `recover` puts back
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(error)

    def _before_state_dict(self) -> None:
        """The optimizer is about to be saved, perhaps where an exception of its step is being handled."""
        try:
            self.recover()
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self.guard is not None:
            self._reader.fail(is_steered=bool(self._chain.links))
        report(error, self.guard)
