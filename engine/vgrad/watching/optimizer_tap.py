"""Reads and steers the gradients of one optimizer from its step hooks, in anybody's loop.

    backward -> step(): collect -> probe(raw) -> the chain's links -> probe(applied) -> the real step

A step pre-hook sees gradients after backward, after an all-reduce and after unscaling. ``step(closure)`` is
the exception: there the backward pass runs inside the step, and the gradients are read when the closure
returns. While an accumulation window is open the gradients are kept aside and ``p.grad`` is None, and the
optimizer skips such parameters by itself.

Watching alone changes nothing: while no control is on, no gradient, weight, learning rate or random state is
written. If ``step()`` raises, what was changed for it is put back, but for gradients changed in place.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError
from vgrad.gradients.gradient_reader import GradientReader
from vgrad.gradients.layers import Layers, find_layers
from vgrad.methods.accumulate import SumOver
from vgrad.methods.accumulation_window import AccumulationWindow, Announced
from vgrad.watching.chain import Chain
from vgrad.watching.closures import closure_of, with_closure
from vgrad.watching.fused_scaling import FusedScaling
from vgrad.watching.guard import report
from vgrad.watching.hooks import StepHooks
from vgrad.watching.raised_step import WatchedArgs
from vgrad.watching.sharded_part import remove_hooks
from vgrad.watching.step_meter import StepMeter
from vgrad.watching.step_rates import StepRates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import ChainLink, StepRecord
    from vgrad.gradients.grads import Grads
    from vgrad.watching.guard import Guard
    from vgrad.watching.loss_source import LossSource


class OptimizerTap:
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

    Raises:
        ConfigError: If nothing is trainable, a learning rate lives on an accelerator, or the controls cannot
            be carried out.
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
        self.layers = find_layers(model) if layers is None else layers
        self.guard: Guard | None = None
        self.on_boundary: Callable[[], None] | None = None
        self.on_control_dropped: Callable[[str, str], None] | None = None
        self._seed = seed
        self._losses = losses
        self.meter = StepMeter(self.layers, watch_budget=watch_budget, keep_s=keep_s, part=part)
        self._is_stepping = False
        self._is_read = False  # whether the gradients of this step have been looked at
        self._grads: Grads | None = None
        # Norm after each link, and the links.
        self._applied: tuple[list[Tensor], tuple[ChainLink, ...]] = ([], ())
        self._controls = Controls()
        self._watch(self.layers)
        self._rates = StepRates(optimizer)
        self._scaling = FusedScaling(optimizer)
        if controls is not None:
            self.controls = controls
        self._hooks = StepHooks(optimizer, self._before_step, self._after_step)

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
        """Watch and steer the steps of another optimizer from here on, over the same parameters.

        Raises:
            ConfigError: If a learning rate of it lives on an accelerator.
        """
        rates = StepRates(optimizer)
        self._hooks.remove()
        self._rates, self._scaling = rates, FusedScaling(optimizer)
        self._hooks = StepHooks(optimizer, self._before_step, self._after_step)

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

    def recover(self) -> None:
        """If the last step raised, put back the learning rates and the gradients that were set aside."""
        if not self._is_stepping:
            return
        self._is_stepping = False
        self._grads = None
        self.meter.cancel()
        self._rates.put_back_()
        self._chain.put_back_()
        self._window.put_back_()

    def _before_step(self, _: object, args: Any, kwargs: Any) -> Any:
        try:
            self._reader.begin_step()
            self.recover()
            if self.on_boundary is not None and not self._window.num_microbatches:
                self.on_boundary()
            self._is_stepping, self._is_read, self._grads = True, False, None
            closure = closure_of(args, kwargs)
            if closure is None:
                self._steer()
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
                self._steer_again()
            elif self._is_stepping:
                if (
                    self._losses is None
                    and not self._window.is_announced
                    and isinstance(loss, Tensor | float)
                ):
                    self.microbatch(loss)
                self._steer()
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(error)

    def _after_step(self, *_: object) -> None:
        try:
            if not self._is_stepping:
                return
            if not self._is_read:  # the closure was never called
                self._steer(is_over=True)
            self._is_stepping = False
            self._rates.put_back_()
            if self.meter.is_under_way:
                self._finish()
        except Exception as error:  # noqa: BLE001  # as above
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        if self.guard is not None:
            self._reader.fail(is_steered=bool(self._chain.links))
        report(error, self.guard)

    def _steer(self, *, is_over: bool = False) -> None:
        """Read the gradients, run the chain on them, and make all ready for the real step.

        Args:
            is_over: The real step has been done already: only read.
        """
        is_recording = torch.is_grad_enabled()
        torch.set_grad_enabled(False)  # gradients may carry a graph
        try:
            self._is_read = True
            begin = time.perf_counter()
            meter, window, chain = self.meter, self._window, self._chain
            if not window.is_announced:
                self._announce_caught()
            size = 1 if is_over else self._controls.accumulation_steps
            will_change = bool(chain.links) and not is_over
            if self._scaling.is_possible:
                is_new = not window.num_microbatches
                self._scaling.look(self.layers.params, unscale=will_change or size > 1, is_new=is_new)
            if not window.close_if_full(size, is_sum=isinstance(self._controls.accumulate, SumOver)):
                meter.watch_s += time.perf_counter() - begin
                return  # every p.grad is None now, so step() changes nothing
            grads = self._grads = self._reader.measured(
                lambda found: meter.read(found, self._scaling.scale), window.extras, will_change=will_change
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

    def _steer_again(self) -> None:
        """Run the chain on the gradients of a later evaluation within the same step, as in a line search."""
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

    def _finish(self) -> None:
        """The real step is done."""
        applied, links = self._applied
        self.meter.finish(
            present=[] if self._grads is None else self._reader.present,
            applied=applied,
            links=links if applied else (),
            skipped=self._chain.skipped,
            window=self._window,
            scaling=self._scaling,
            rates=self._rates,
        )
        self._window.clear()
        self._chain.put_back_()
        self._grads = None


_NOTHING = Controls()
