"""Optimizers of one parameter each, stepped while the backward pass runs: together they make one step.

A loop that wants to free each gradient at once gives every parameter an optimizer of its own and steps it in
a post-accumulate-grad hook. The gradients never exist together, so their norms are read one by one, and
controls that need all gradients at once cannot be used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.controls.controls import Controls
from vgrad.gradients.gradient_reader import readable
from vgrad.measure.stream_capture import is_capturing
from vgrad.methods.accumulation_window import AccumulationWindow, Announced
from vgrad.watching.backward_hooks import is_in_backward
from vgrad.watching.fused_scaling import FusedScaling
from vgrad.watching.guard import report
from vgrad.watching.hooks import StepHooks
from vgrad.watching.raised_step import WatchedArgs
from vgrad.watching.step_meter import StepMeter
from vgrad.watching.step_rates import StepRates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import StepRecord
    from vgrad.gradients.layers import Layers
    from vgrad.watching.guard import Guard
    from vgrad.watching.loss_source import LossSource

NEVER_TOGETHER = "its optimizers step one parameter at a time, so the gradients are never there together"


class TapInBackward:
    """Watches optimizers that step in turn, as `OptimizerTap` watches one; the learning rates can be steered.

    A step ends with the backward pass in which its optimizers stepped. Outside of one it ends when all have
    stepped, or when one of them steps again.

    Args:
        optimizers: The optimizers, each of one parameter.
        layers: The layers that their parameters make.
        losses: Where losses come from.
        controls: The controls of the first step.
        keep_s: Seconds for which finished steps may be kept back.
        part: The part of the run that these optimizers are.

    Attributes:
        layers: The same.
        controls: The controls of the next step.
        meter: Measures the steps.
        guard: Takes errors of ours that must not reach the loop; None lets them through.
        on_boundary: Called as a step begins.
        on_control_dropped: Never called: what cannot be carried out here is refused.
        on_capture: Called as an optimizer steps in a CUDA graph, as that of `OptimizerTap`.
    """

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        layers: Layers,
        losses: LossSource,
        *,
        controls: Controls,
        keep_s: float,
        part: int,
    ) -> None:
        self.controls = controls
        self.meter = StepMeter(layers, watch_budget=0.0, keep_s=keep_s, part=part)
        self.guard: Guard | None = None
        self.on_boundary: Callable[[], None] | None = None
        self.on_control_dropped: Callable[[str, str], None] | None = None
        self.on_capture: Callable[[], None] | None = None
        self._losses = losses
        self._optimizers = optimizers
        self._rates = [StepRates(optimizer) for optimizer in optimizers]
        self._stepped: set[int] = set()
        self._norms: dict[int, Tensor] = {}
        self._window = AccumulationWindow(())
        self._scaling = FusedScaling(optimizers[0])
        self.use_layers(layers)
        self._hooks = [
            StepHooks(
                optimizer,
                partial(self._before_step, index),
                partial(self._after_step, index),
                self._rates[index].put_back_,
            )
            for index, optimizer in enumerate(optimizers)
        ]

    def use_layers(self, layers: Layers) -> None:
        """Read these layers from the next step on."""
        self.layers = layers
        self.meter.use_layers(layers)
        self._params = [optimizer.param_groups[0]["params"][0] for optimizer in self._optimizers]
        self._places = {id(param): place for place, param in enumerate(layers.params)}

    @property
    def step(self) -> int:
        """Number of steps done so far."""
        return self.meter.step

    def records(self, *, wait: bool = False) -> list[StepRecord]:
        """Return the steps whose numbers have arrived, as `OptimizerTap.records` does."""
        return self.meter.records(wait=wait)

    def stats(self) -> LayerStats:
        """Nothing: the expensive statistics need the gradient and the weights of a whole layer."""
        return self.meter.stats()

    def recover(self) -> None:
        """Put back the learning rates of optimizers whose step raised."""
        for rates in self._rates:
            rates.put_back_()

    def remove(self) -> None:
        """Take the hooks off the optimizers again."""
        for hooks in self._hooks:
            hooks.remove()
        self.recover()

    def backward_ended(self) -> None:
        """A backward pass has ended, and with it the step that was made in it."""
        try:
            self._finish()
        except Exception as error:  # noqa: BLE001  # none of ours may reach the user's loop
            report(error, self.guard)

    def _before_step(self, index: int, _: object, args: Any, kwargs: Any) -> Any:
        try:
            if is_capturing(self._params[index]):
                if self.on_capture is not None:
                    self.on_capture()
                return None
            if index in self._stepped:
                self._finish()
            if not self._stepped and self.on_boundary is not None:
                self.on_boundary()
            self._stepped.add(index)
            place, grad = self._places.get(id(self._params[index])), self._params[index].grad
            if grad is None or place is None:
                return None
            with torch.no_grad():
                wide = torch.promote_types(readable(grad).dtype, torch.float32)
                self._norms[place] = torch.linalg.vector_norm(readable(grad), dtype=wide)
            self._rates[index].set_(self.controls, self.step + 1)
            if self._rates[index].are_set:
                return WatchedArgs.of(args, self._rates[index].put_back_), kwargs
        except Exception as error:  # noqa: BLE001  # as above
            report(error, self.guard)
        return None

    def _after_step(self, index: int, *_: object) -> None:
        try:
            self._rates[index].put_back_()
            if len(self._stepped) == len(self._params) and not is_in_backward():
                self._finish()
        except Exception as error:  # noqa: BLE001  # as above
            report(error, self.guard)

    def _finish(self) -> None:
        """All optimizers that step this time have stepped."""
        self._stepped.clear()
        if not self._norms:
            return
        places = sorted(self._norms)
        with torch.no_grad():
            norms = torch.stack([self._norms[place] for place in places])
            dtype = torch.float32 if norms.device.type == "mps" else torch.float64
            norm = torch.linalg.vector_norm(norms, dtype=dtype)
        self._norms.clear()
        self.meter.take(norms, norm)
        caught = self._losses.take()
        self.meter.loss_scale = 1.0 if caught.scale is None else caught.scale
        self._window.announce(Announced(caught.loss))
        self._window.close_if_full(1)
        self.meter.finish(
            present=None if len(places) == len(self.layers.params) else places,
            applied=(),
            links=(),
            skipped=False,
            window=self._window,
            scaling=self._scaling,
            rates=self._rates[0],
        )
        self._window.clear()


def parts_of(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[list[torch.optim.Optimizer]]:
    """The optimizers of each part: those of a single parameter step in turn and make one together."""
    single = [each for each in optimizers if sum(len(group["params"]) for group in each.param_groups) == 1]
    if len(single) > 1:
        yield single
    for each in optimizers:
        if len(single) <= 1 or each not in single:
            yield [each]
