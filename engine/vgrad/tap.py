"""The one place where gradients are read and changed: the optimizer's step hooks.

    backward -> step(): collect -> probe(raw) -> transforms -> probe(applied) -> the real step

A step pre-hook sees gradients after backward, after an all-reduce and after unscaling, for any
loop. While an accumulation window is open it keeps the gradients aside and sets ``p.grad`` to
None, and the optimizer skips such parameters by itself. So accumulation, too, works in a loop
that knows nothing of it.

Watching alone changes nothing: without clipping, accumulation or a changed learning rate no
gradient, weight or random state is written.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from vgrad.budget import Budget
from vgrad.controls import Controls
from vgrad.errors import ConfigError
from vgrad.grads import Grads, NormPlan
from vgrad.layers import find_layers
from vgrad.probes.layers import LayerProbe
from vgrad.records import LayerStats, StepRecord
from vgrad.transfer import HostCopy
from vgrad.window import Window

# Steps that may stay in flight on an accelerator, so that nobody waits for the device.
_IN_FLIGHT = 1


@dataclass(slots=True)
class _InFlight:
    """A finished step whose numbers are on their way to the host."""

    step: int
    copy: HostCopy
    present: list[int] | None
    measured: list[int]
    lr: float
    base_lr: float
    num_tokens: int
    num_samples: int
    num_microbatches: int
    elapsed_s: float
    step_s: float
    watch_s: float


class Tap:
    """Watches and steers the gradients of one optimizer.

    Call `microbatch` before every ``optimizer.step()``; finished steps come out of `records`.
    Use it as a context manager, or call `remove` when done.

    Args:
        model: The model; its trainable parameters are fixed from here on.
        optimizer: Its optimizer. Hooks are registered on it.
        controls: What is done to the gradients from the first step on.
        watch_budget: Share of the step time for the dear statistics, in [0, 1].

    Attributes:
        controls: Assign between two optimizer steps only.
        layers: The layers that records speak of, in their order.
        step: Number of optimizer steps done so far.

    Raises:
        ConfigError: If the model has nothing to train, or a learning rate lives on an accelerator.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        controls: Controls | None = None,
        watch_budget: float = 0.02,
    ) -> None:
        self.controls = controls or Controls()
        self.layers = find_layers(model)
        self.step = 0
        self._optimizer = optimizer
        self._base_lrs(optimizer)  # fails early
        self._budget = Budget(watch_budget)
        self._probe = LayerProbe(self.layers, self._budget)
        self._window = Window(self.layers.params)
        self._plan: NormPlan | None = None
        self._plan_for: list[int] | None = None
        self._grads: Grads | None = None
        self._norms: tuple[Tensor, Tensor] | None = None
        self._applied: Tensor | None = None
        self._lrs: list[float | Tensor] = []
        self._in_flight: deque[_InFlight] = deque()
        self._watch_s = 0.0
        self._elapsed_s = 0.0
        self._step_began = time.perf_counter()
        self._handles = (
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the hooks off the optimizer again."""
        for handle in self._handles:
            handle.remove()

    @property
    def window_is_open(self) -> bool:
        """Whether microbatches have been accumulated that no step has used yet."""
        return self._window.num_microbatches > 0

    def begin(self) -> None:
        """Start the clock of the next step here, so that what came before it is not counted."""
        self._step_began = time.perf_counter()

    def microbatch(
        self, loss: Tensor, *, num_tokens: int = 0, num_samples: int = 1, closes_window: bool = False
    ) -> None:
        """Say what the next ``optimizer.step()`` is about.

        Args:
            loss: Mean loss of the microbatch, 0-d, on its device.
            num_tokens: Tokens that the mean was taken over; 0 where the data has none.
            num_samples: Samples in the microbatch; weighs it where there are no tokens.
            closes_window: Step with what there is, though the window may not be full: the
                data or the epoch ends here.
        """
        self._window.announce(loss.detach(), num_tokens, num_samples, closes_window)

    def close_window(self) -> None:
        """Make the next ``optimizer.step()`` use the open window as it is: the data has ended."""
        self._window.close()

    def records(self, *, wait: bool = False) -> list[StepRecord]:
        """Return the steps whose numbers have arrived, oldest first, each once.

        On a CPU that is every step so far. On an accelerator the newest step stays in flight,
        so that nobody waits for the device, unless ``wait`` asks for it.
        """
        keep = 0 if wait or not self._in_flight or self._on_host() else _IN_FLIGHT
        finished = []
        while len(self._in_flight) > keep:
            finished.append(self._land(self._in_flight.popleft()))
        return finished

    def stats(self) -> LayerStats:
        """The dear statistics as of the last record that was returned."""
        return self._probe.snapshot()

    @torch.no_grad()  # gradients may carry a graph
    def _before_step(self, *_: Any) -> None:
        begin = time.perf_counter()
        self._grads = None
        window = self._window
        if not window.is_announced:
            raise ConfigError("call Tap.microbatch(loss) before every optimizer.step()")
        if not window.close_if_full(self.controls.accumulation_steps):
            self._watch_s += time.perf_counter() - begin
            return  # every p.grad is None now, so step() changes nothing
        grads = self._collect()
        self._grads = grads
        self._norms = (grads.norms(), grads.norm())
        self._probe.before_transforms()
        self._watch_s += time.perf_counter() - begin

        if self.controls.clip is not None:
            self.controls.clip.apply_(grads, step=self.step + 1)

        begin = time.perf_counter()
        self._applied = grads.norm()
        self._probe.before_step()
        self._scale_lr()
        self._watch_s += time.perf_counter() - begin

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        if self._grads is None or self._norms is None or self._applied is None:
            return  # the window is still open
        begin = time.perf_counter()
        lr = float(self._optimizer.param_groups[0]["lr"])
        for group, base_lr in zip(self._optimizer.param_groups, self._lrs, strict=True):
            group["lr"] = base_lr
        measured, vectors = self._probe.after_step()
        window = self._window
        norms, norm = self._norms
        scalars = torch.stack((norm, self._applied, window.loss))  # of the widest dtype among them
        copy = HostCopy(torch.cat((scalars, norms, *vectors)))
        self.step += 1
        now = time.perf_counter()
        self._watch_s += now - begin
        step_s = now - self._step_began
        self._elapsed_s += step_s
        self._in_flight.append(
            _InFlight(
                step=self.step,
                copy=copy,
                present=self._plan_for,
                measured=measured,
                lr=lr,
                base_lr=float(self._lrs[0]),
                num_tokens=window.num_tokens,
                num_samples=window.num_samples,
                num_microbatches=window.num_microbatches,
                elapsed_s=self._elapsed_s,
                step_s=step_s,
                watch_s=self._watch_s,
            )
        )
        self._budget.earn(step_s, self._watch_s - self._probe.spent_s, at_most_s=2 * self._probe.dearest_s)
        window.clear()
        self._grads = self._norms = self._applied = None
        self._watch_s = 0.0
        self._step_began = time.perf_counter()

    def _collect(self) -> Grads:
        """The gradients that are there; the plan to read them is made anew when others are."""
        params = self.layers.params
        found = [grad for param in params if (grad := param.grad) is not None]
        present: list[int] | None = None
        if len(found) < len(params):
            present = [index for index, param in enumerate(params) if param.grad is not None]
            if not present:
                raise ConfigError("optimizer.step() was called but no parameter has a gradient")
        if self._plan is None or present != self._plan_for:
            self._plan = NormPlan(found)
            self._plan_for = present
        return Grads(found, self._plan)

    def _scale_lr(self) -> None:
        """Scale the learning rates for this one step, so that any scheduler composes with it."""
        groups = self._optimizer.param_groups
        self._lrs = self._base_lrs(self._optimizer)
        if self.controls.lr_scale != 1.0:
            for group, base_lr in zip(groups, self._lrs, strict=True):
                group["lr"] = base_lr * self.controls.lr_scale

    @staticmethod
    def _base_lrs(optimizer: torch.optim.Optimizer) -> list[float | Tensor]:
        lrs: list[float | Tensor] = [group["lr"] for group in optimizer.param_groups]
        if any(isinstance(lr, Tensor) and lr.device.type != "cpu" for lr in lrs):
            raise ConfigError("a learning rate on an accelerator cannot be read without waiting: use a float")
        return lrs

    def _on_host(self) -> bool:
        return self.layers.params[0].device.type == "cpu"

    def _land(self, flight: _InFlight) -> StepRecord:
        """Turn the numbers of a step into its record."""
        values = flight.copy.read()
        num_norms = len(self.layers.params) if flight.present is None else len(flight.present)
        norms = values[3 : 3 + num_norms]
        if flight.present is not None:  # no gradient reads as a norm of 0: nothing reached it
            everywhere = norms.dtype.type(0).repeat(len(self.layers.params))
            everywhere[flight.present] = norms
            norms = everywhere
        if flight.measured:
            self._probe.store(flight.step, flight.measured, values[3 + num_norms :])
        return StepRecord(
            step=flight.step,
            loss=float(values[2]),
            lr=flight.lr,
            base_lr=flight.base_lr,
            grad_norm=float(values[0]),
            applied_norm=float(values[1]),
            grad_norms=self.layers.reduce(norms),
            num_tokens=flight.num_tokens,
            num_samples=flight.num_samples,
            num_microbatches=flight.num_microbatches,
            elapsed_s=flight.elapsed_s,
            step_s=flight.step_s,
            watch_s=flight.watch_s,
        )
