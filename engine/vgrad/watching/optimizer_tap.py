"""The one place where gradients are read and changed: the optimizer's step hooks.

    backward -> step(): collect -> probe(raw) -> the chain's links -> probe(applied) -> the real step

A step pre-hook sees gradients after backward, after an all-reduce and after unscaling, for any
loop. While an accumulation window is open it keeps the gradients aside and sets ``p.grad`` to
None, and the optimizer skips such parameters by itself. So accumulation, too, works in a loop
that knows nothing of it.

Watching alone changes nothing: without clipping, accumulation or a changed learning rate no
gradient, weight or random state is written.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vgrad.controls.controls import Controls
from vgrad.errors import ConfigError
from vgrad.events.layer_stats import LayerStats
from vgrad.events.step_record import StepRecord
from vgrad.gradients.grads import Grads
from vgrad.gradients.layers import find_layers
from vgrad.gradients.norms import NormPlan
from vgrad.measure.budget import Budget
from vgrad.measure.host_copy import HostCopy
from vgrad.measure.layer_stats import LayerStatsProbe
from vgrad.methods.accumulate import SumOver
from vgrad.watching.accumulation import AccumulationWindow
from vgrad.watching.chain import Chain
from vgrad.watching.pending_steps import PendingStep, PendingSteps


class OptimizerTap:
    """Watches and steers the gradients of one optimizer.

    Call `microbatch` before every ``optimizer.step()``; finished steps come out of `records`.
    Use it as a context manager, or call `remove` when done.

    Args:
        model: The model; its trainable parameters are fixed from here on.
        optimizer: Its optimizer. Hooks are registered on it.
        controls: What is done to the gradients from the first step on. Backward, precision, the
            optimizer and the model are the training loop's, and those controls are not looked at here.
        watch_budget: Share of the step time for the dear statistics, in [0, 1].
        seed: Seed of the transforms that draw random numbers, each from a generator of its own.
        keep_s: Seconds for which `records` may keep finished steps back, to hand several over at once. Making
            a record is quick while the processor has the code at hand, and not right after a backward pass.

    Attributes:
        layers: The layers that records speak of, in their order.
        step: Number of optimizer steps done so far.
        step_s: Seconds that the last one took.
        loss_scale: What the loop scales its loss with, for the records alone.

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
        seed: int = 0,
        keep_s: float = 0.0,
    ) -> None:
        self.layers = find_layers(model)
        self._chain = Chain(self.layers, seed)
        self.controls = controls or Controls()
        self.step = 0
        self.step_s = 0.0
        self.loss_scale = 1.0
        self._optimizer = optimizer
        _require_readable_lrs(optimizer)
        self._budget = Budget(watch_budget)
        self._probe = LayerStatsProbe(self.layers, self._budget)
        self._window = AccumulationWindow(self.layers.params)
        self._plan: NormPlan | None = None
        self._plan_for: list[int] | None = None
        self._sparse: list[int] = []  # of the gradients that are there, those that are sparse
        self._grads: Grads | None = None
        self._norms: tuple[Tensor, Tensor] | None = None
        self._applied: list[Tensor] = []
        self._lrs: list[float | Tensor] = []  # the base rates, while a step is under way
        self._base_lr = 0.0
        self._flights = PendingSteps(self.layers, self._probe, keep_s)
        self._watch_s = 0.0
        self._elapsed_s = 0.0
        self._step_began = time.perf_counter()
        self._handles: tuple[RemovableHandle, ...] = ()
        self._hook()

    def _hook(self) -> None:
        self._handles = (
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after_step),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Take the hooks off the optimizer again."""
        for handle in self._handles:
            handle.remove()

    def move_to(self, optimizer: torch.optim.Optimizer) -> None:
        """Watch and steer the steps of another optimizer from here on, over the same parameters.

        Raises:
            ConfigError: If a learning rate of it lives on an accelerator.
        """
        _require_readable_lrs(optimizer)
        self.remove()
        self._optimizer = optimizer
        self._hook()

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

    def begin(self) -> None:
        """Start the clock of the next step here, so that what came before it is not counted."""
        self._step_began = time.perf_counter()

    def microbatch(
        self,
        loss: Tensor,
        *,
        num_tokens: int = 0,
        num_samples: int = 1,
        closes_window: bool = False,
        extras: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        """Say what the next ``optimizer.step()`` is about.

        Args:
            loss: Mean loss of the microbatch, 0-d, on its device.
            num_tokens: Tokens that the mean was taken over; 0 where the data has none.
            num_samples: Samples in the microbatch; weighs it where there are no tokens.
            closes_window: Step with what there is, though the window may not be full: the
                data or the epoch ends here.
            extras: Gradients of a regulariser, by parameter, which the chain's Ω adds.
        """
        self._window.announce(loss.detach(), num_tokens, num_samples, closes_window, extras)

    def close_window(self) -> None:
        """Make the next ``optimizer.step()`` use the open window as it is: the data has ended."""
        self._window.close()

    def records(self, *, wait: bool = False) -> list[StepRecord]:
        """Return the steps whose numbers have arrived, oldest first, each once.

        They may be kept back for as long as ``keep_s`` says. Else all steps so far are returned; on an
        accelerator the newest stays in flight, so that nobody waits for the device. ``wait`` asks for all.
        """
        return self._flights.land(wait=wait)

    def forget_stats(self) -> None:
        """Forget the dear statistics: they are of other weights than there are now."""
        self._probe.forget(self.step)

    def stats(self) -> LayerStats:
        """The dear statistics as of the last record that was returned."""
        return self._probe.snapshot()

    def _before_step(self, *_: Any) -> None:
        is_recording = torch.is_grad_enabled()
        torch.set_grad_enabled(False)  # gradients may carry a graph
        try:
            self._steer()
        finally:
            torch.set_grad_enabled(is_recording)

    def _steer(self) -> None:
        """Read the gradients, run the chain on them, and make all ready for the real step."""
        begin = time.perf_counter()
        self._grads = None
        window = self._window
        if not window.is_announced:
            raise ConfigError("call OptimizerTap.microbatch(loss) before every optimizer.step()")
        rule = self._controls.accumulate
        if not window.close_if_full(self._controls.accumulation_steps, is_sum=isinstance(rule, SumOver)):
            self._watch_s += time.perf_counter() - begin
            return  # every p.grad is None now, so step() changes nothing
        grads = self._collect()
        self._grads = grads
        self._norms = (grads.norms(), grads.norm())
        self._probe.loss_scale = self.loss_scale
        self._probe.before_transforms()
        self._watch_s += time.perf_counter() - begin

        self._applied = self._chain.run_(grads, step=self.step + 1)

        begin = time.perf_counter()
        self._probe.before_step()
        self._set_lrs()
        self._watch_s += time.perf_counter() - begin + self._chain.watch_s

    def _after_step(self, *_: Any) -> None:
        if self._grads is None or self._norms is None:
            return  # the window is still open
        begin = time.perf_counter()
        lr = float(self._optimizer.param_groups[0]["lr"])
        for group, base_lr in zip(self._optimizer.param_groups, self._lrs, strict=True):
            group["lr"] = base_lr
        measured, vectors = self._probe.after_step()
        window = self._window
        norms, norm = self._norms
        square = window.microbatch_square
        squares = () if square is None else (square,)
        copy = HostCopy((norm, window.loss, *self._applied, *squares), (norms, *vectors))
        self.step += 1
        now = time.perf_counter()
        self._watch_s += now - begin
        self.step_s = step_s = now - self._step_began + self._flights.take_waited_s()
        self._elapsed_s += step_s
        self._flights.add(
            PendingStep(
                step=self.step,
                copy=copy,
                present=self._plan_for,
                has_square=square is not None,
                measured=measured,
                links=self._chain.names,
                skipped=self._chain.skipped,
                loss_scale=self.loss_scale,
                lr=lr,
                base_lr=self._base_lr,
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
        self._grads = self._norms = None
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
            self._sparse = [i for i, grad in enumerate(found) if grad.layout is torch.sparse_coo]
        for index in self._sparse:
            found[index] = self._entries_of(found[index], index if present is None else present[index])
        if self._plan is None or present != self._plan_for:
            self._plan = NormPlan(found, varying=self._sparse)
            self._plan_for = present
        names: Sequence[str] = self.layers.param_names
        return Grads(
            found,
            self._plan,
            params=params if present is None else [params[index] for index in present],
            names=names if present is None else [names[index] for index in present],
            last_linear=self.layers.last_linear,
            extras=self._window.extras,
            has_sparse=bool(self._sparse),
        )

    def _entries_of(self, grad: Tensor, index: int) -> Tensor:
        """The entries of a sparse gradient that are there, each once, as the chain may change them."""
        grad = grad.coalesce()
        if self._chain.links:
            # Only then: adding up what occurs twice, before it is added to a weight, rounds otherwise.
            self.layers.params[index].grad = grad
        return grad.values()

    def _set_lrs(self) -> None:
        """Set the learning rates of this one step; `_after_step` puts the base rates back.

        Between two steps ``group["lr"]`` is the base rate, which only the loop and its scheduler write.
        """
        groups = self._optimizer.param_groups
        self._lrs = [group["lr"] for group in groups]
        factor = self._controls.schedule.factor(self.step + 1)
        scale = self._controls.lr_scale
        self._base_lr = float(self._lrs[0]) * factor
        if factor != 1.0 or scale != 1.0:
            for group in groups:
                group["lr"] = group["lr"] * factor * scale


def _require_readable_lrs(optimizer: torch.optim.Optimizer) -> None:
    lrs = [group["lr"] for group in optimizer.param_groups]
    if any(isinstance(lr, Tensor) and lr.device.type != "cpu" for lr in lrs):
        raise ConfigError("a learning rate on an accelerator cannot be read without waiting: use a float")
