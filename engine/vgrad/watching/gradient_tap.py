"""Reads and steers the gradients of some layers, one step at a time.

    collect -> probe(raw) -> the chain's links -> probe(applied)

While an accumulation window is open the gradients are kept aside and ``p.grad`` is None, and an optimizer
skips such parameters by itself. While no control is on, no gradient is written.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError
from vgrad.gradients.gradient_reader import GradientReader
from vgrad.methods.accumulate import SumOver
from vgrad.methods.accumulation_window import AccumulationWindow, Announced
from vgrad.watching.chain import Chain
from vgrad.watching.step_meter import StepMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import ChainLink, StepRecord
    from vgrad.gradients.grads import Grads
    from vgrad.gradients.layers import Layers
    from vgrad.watching.fused_scaling import FusedScaling
    from vgrad.watching.loss_source import LossSource
    from vgrad.watching.step_rates import StepRates

EVALUATED_AGAIN = (
    "the optimizer evaluates the loss several times in one step, each time on the microbatch at hand, so it"
    " would compare the gradient of a whole window with that of one microbatch"
)


class GradientTap:
    """The gradients of some layers, measured and steered. `OptimizerTap` says when.

    Finished steps come out of `records`. A loop that knows its loss announces it with `microbatch`; else it
    is taken from ``losses``, else it is not known.

    Args:
        layers: The layers.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        seed: Seed of the transforms that draw random numbers, each from a generator of its own.
        keep_s: Seconds for which `records` may keep finished steps back, to hand several over at once. Making
            a record is quick while the processor has the code at hand, and not right after a backward pass.
        part: The part of the run that these layers are, for the records.
        losses: Where losses come from that nobody announces.

    Attributes:
        layers: The layers that records speak of, in their order.
        meter: Measures the steps.
        on_control_dropped: Called with a control that could not be carried out, and the reason; it is off.
        on_stepped: Called when a step has ended.
    """

    def __init__(
        self,
        layers: Layers,
        *,
        watch_budget: float,
        seed: int,
        keep_s: float,
        part: int,
        losses: LossSource | None,
    ) -> None:
        self.on_control_dropped: Callable[[str, str], None] | None = None
        self.on_stepped: Callable[[], None] | None = None
        self._seed = seed
        self._losses = losses
        self.meter = StepMeter(layers, watch_budget=watch_budget, keep_s=keep_s, part=part)
        self._is_read = False  # whether the gradients of this step have been looked at
        self._grads: Grads | None = None
        # Norm after each link, and the links.
        self._applied: tuple[list[Tensor], tuple[ChainLink, ...]] = ([], ())
        self._controls = Controls()
        self._watch(layers)

    def use_layers(self, layers: Layers) -> None:
        """Read these layers from the next step on; take the `records` of the old ones first.

        Statistics, the memories of transforms and an open window are cleared.
        """
        self.meter.use_layers(layers)
        self._watch(layers)

    def _watch(self, layers: Layers) -> None:
        self.layers = layers
        self._window = AccumulationWindow(layers.params)
        self._reader = GradientReader(layers)
        self._chain = Chain(layers, self._seed)
        try:
            self._chain.set(self._controls)
        except ConfigError as error:  # the layers to freeze are gone
            self._drop("freeze", str(error))

    @property
    def step(self) -> int:
        """Number of optimizer steps done so far."""
        return self.meter.step

    @property
    def controls(self) -> Controls:
        """What is done to the gradients. Assign between two optimizer steps only.

        Assigning raises `ConfigError`, and changes nothing, if a layer to freeze does not exist.
        """
        return self._controls

    @controls.setter
    def controls(self, controls: Controls) -> None:
        self._chain.set(controls)
        self._controls = controls

    @property
    def was_skipped(self) -> bool:
        """Whether the last step was dropped for a gradient that was not finite."""
        return self._chain.skipped

    @property
    def window_is_open(self) -> bool:
        """Whether microbatches have been accumulated that no step has used yet."""
        return self._window.num_microbatches > 0

    def microbatch(
        self,
        loss: Tensor | float | None,
        *,
        num_tokens: int = 0,
        num_samples: int = 1,
        loss_scale: float = 1.0,
        closes_window: bool = False,
        extras: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        """Say what the next ``optimizer.step()`` is about.

        Args:
            loss: Mean loss of the microbatch, 0-d on its device or a float; None where it is not known.
            num_tokens: Tokens that the mean was taken over; 0 where the data has none.
            num_samples: Samples in the microbatch; weighs it where there are no tokens.
            loss_scale: What the loop has scaled its loss with, for the record alone.
            closes_window: Step with what there is, though the window may not be full: the
                data or the epoch ends here.
            extras: Gradients of a regulariser, by parameter, which the chain's Ω adds.
        """
        if isinstance(loss, Tensor):
            loss = loss.detach()
        self.meter.loss_scale = loss_scale
        self._window.announce(Announced(loss, num_tokens, num_samples, extras), closes=closes_window)

    def close_window(self) -> None:
        """Make the next ``optimizer.step()`` use the open window as it is: the data has ended."""
        self._window.close()

    def records(self, *, wait: bool = False) -> list[StepRecord]:
        """Return the steps whose numbers have arrived, oldest first, each once.

        They may be kept back for as long as ``keep_s`` says. Else all steps so far are returned; on an
        accelerator the newest stays pending, so that nobody waits for the device. ``wait`` asks for all.
        """
        return self.meter.records(wait=wait)

    def stats(self) -> LayerStats:
        """The expensive statistics as of the last record that was returned."""
        return self.meter.stats()

    def capture(self) -> dict[str, Any]:
        """Return the controls, what the chain has learned, and the meter's state; tensors are not copied.

        Between two steps only, with no window open; all records must have been taken.
        """
        return {"controls": self._controls, "chain": self._chain.capture(), "meter": self.meter.capture()}

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned, and keep its tensors.

        Raises:
            ValueError: If it is of other layers, or a memory is not one of the controls.
        """
        self.controls = captured["controls"]
        self._chain.restore_(captured["chain"])
        self.meter.restore_(captured["meter"])

    def _cancel(self) -> None:
        """Forget the step under way: it raised. Put back the gradients that were set aside for it."""
        self._grads = None
        self.meter.cancel()
        self._chain.put_back_()
        self._window.put_back_()

    def _steer(self, scaling: FusedScaling, *, is_over: bool = False) -> None:
        """Read the gradients, run the chain on them, and make all ready for the real step.

        Args:
            scaling: What a `GradScaler` hands over for the step.
            is_over: The real step has been done already: only read.
        """
        is_recording = torch.is_grad_enabled()
        try:  # a Ctrl-C may come after any call
            torch.set_grad_enabled(False)  # gradients may carry a graph
            self._is_read = True
            begin = time.perf_counter()
            meter, window, chain = self.meter, self._window, self._chain
            if not window.is_announced:
                self._announce_caught()
            size = 1 if is_over else self._controls.accumulation_steps
            will_change = bool(chain.links) and not is_over
            if scaling.is_possible:
                is_new = not window.num_microbatches
                scaling.look(self.layers.params, unscale=will_change or size > 1, is_new=is_new)
            if not window.close_if_full(size, is_sum=isinstance(self._controls.accumulate, SumOver)):
                meter.watch_s += time.perf_counter() - begin
                return  # every p.grad is None now, so step() changes nothing
            grads = self._grads = self._reader.measured(
                lambda found: meter.read(found, scaling.scale), window.extras, will_change=will_change
            )
            if grads is None:  # a step all the same, where no loss has ever reached the parameters
                if window.loss is None or not meter.take_nothing():
                    window.clear()
                return
            meter.watch_s += time.perf_counter() - begin

            self._applied = ([] if is_over else chain.run_(grads, step=self.step + 1)), chain.names
            self._reader.end_step()

            begin = time.perf_counter()
            if chain.dropped:
                self._drop_controls()
            meter.before_step()
            meter.watch_s += time.perf_counter() - begin + chain.watch_s
        finally:
            torch.set_grad_enabled(is_recording)

    def _steer_again(self, scaling: FusedScaling) -> None:
        """Run the chain on the gradients of a later evaluation within the same step, as in a line search."""
        if self._controls.accumulation_steps > 1:
            self._drop("accumulate", EVALUATED_AGAIN)
            if self._window.is_aside:  # the step goes on with what it has evaluated last
                self._window.clear()
                self._steer(scaling)
                return
        if self._grads is None or not self._chain.links:
            return
        with torch.no_grad():
            grads = self._reader.collect(self._window.extras, will_change=True)
            if grads is not None:
                self._chain.run_(grads, step=self.step + 1)

    def _announce_caught(self) -> None:
        if self._losses is None:
            self._window.announce(Announced(None))
            return
        caught = self._losses.take()
        self.meter.loss_scale = 1.0 if caught.scale is None else caught.scale
        self._window.announce(Announced(caught.loss))

    def _drop_controls(self) -> None:
        """Switch off what could not be carried out on these gradients, and say so."""
        dropped, self._chain.dropped = self._chain.dropped, []
        for name, reason in dropped:
            self._drop(name, reason)

    def _drop(self, name: str, reason: str) -> None:
        self.controls = replace(self._controls, **{name: getattr(_NOTHING, name)})
        if self.on_control_dropped is not None:
            self.on_control_dropped(name, reason)

    def _finish(self, scaling: FusedScaling, rates: StepRates) -> None:
        """The real step is done, with these learning rates."""
        applied, links = self._applied
        self.meter.finish(
            present=[] if self._grads is None else self._reader.present,
            applied=applied,
            links=links if applied else (),
            skipped=self._chain.skipped,
            window=self._window,
            scaling=scaling,
            rates=rates,
        )
        self._window.clear()
        self._chain.put_back_()
        self._grads = None


_NOTHING = Controls()
