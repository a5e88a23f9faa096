"""The numbers of one step, from its gradients to its record, with their clock and their budget."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vgrad.events.step_record import StepRecord
from vgrad.measure.budget import Budget
from vgrad.measure.host_copy import HostCopy
from vgrad.measure.judged_stats import JudgedStatsProbe
from vgrad.measure.layer_stats import LayerStatsProbe
from vgrad.watching.pending_steps import PendingStep, PendingSteps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import ChainLink
    from vgrad.gradients.grads import Grads
    from vgrad.gradients.layers import Layers
    from vgrad.methods.accumulation_window import AccumulationWindow
    from vgrad.watching.fused_scaling import FusedScaling
    from vgrad.watching.loop_clipping import LoopClip, LoopClipping
    from vgrad.watching.step_rates import StepRates

# Of the budget, for what verdicts look at; what the screen shows gets the rest.
JUDGED_SHARE = 0.5


class StepMeter:
    """Measures steps. Nothing here waits for a device.

    The order is: `read` before a step's transforms, `before_step` after them, `finish` after the real step.

    Args:
        layers: The layers.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        keep_s: Seconds for which finished steps may be kept back, to be handed over together.
        part: The part of the run that these are steps of.

    Attributes:
        step: Number of optimizer steps done so far.
        step_s: Seconds that the last one took.
        ended_s: When the last step ended, by `time.perf_counter`; when the next one began, if it is known.
        watch_s: Seconds that watching has taken of the step under way.
        loss_scale: What the loss of this step was multiplied with, a float or 0-d on its device.
        has_sparse: Whether some gradient of the last step was not a dense real tensor.
        budget: What the expensive statistics are paid from.
        loop_clipping: Knows the clipping that the loop does itself; None where nobody observes it. It may be
            assigned.
    """

    def __init__(self, layers: Layers, *, watch_budget: float, keep_s: float, part: int = 0) -> None:
        self.step = 0
        self.step_s = 0.0
        self.watch_s = 0.0
        self.loss_scale: float | Tensor = 1.0
        self.has_sparse = False
        # What verdicts look at is due by the step, whatever it costs: it must not use up the screen's part.
        self._judged_share = JUDGED_SHARE * watch_budget
        self.budget = Budget((1 - JUDGED_SHARE) * watch_budget)
        self._keep_s = keep_s
        self._part = part
        self._elapsed_s = 0.0
        # Norms per parameter and the joint one; in numpy where they are on the host already.
        self._norms: tuple[Tensor, Tensor] | tuple[NDArray[np.floating], float] | None = None
        self._has_read = False  # a gradient, at some step
        self.loop_clipping: LoopClipping | None = None
        self._loop_clip: LoopClip | None = None
        self.use_layers(layers)
        self.ended_s = time.perf_counter()

    def use_layers(self, layers: Layers) -> None:
        """Measure these layers from the next step on; statistics are cleared."""
        self._device = layers.params[0].device
        self._probe = LayerStatsProbe(layers, self.budget)
        self._judged = JudgedStatsProbe(layers, self._judged_share)
        self._pending = PendingSteps(layers, self._probe, self._keep_s)

    def go_on_from(self, step: int, elapsed_s: float) -> None:
        """Count on from ``step`` steps, which took ``elapsed_s`` seconds."""
        self.step, self._elapsed_s = step, elapsed_s

    @property
    def elapsed_s(self) -> float:
        """Seconds that all steps so far took."""
        return self._elapsed_s

    def begin(self) -> None:
        """Start the clock of the next step here, so that what came before it is not counted."""
        self.ended_s = time.perf_counter()

    def read(self, grads: Grads, scale: Tensor | None) -> None:
        """Read the norms, and what the budget affords of the statistics.

        Args:
            grads: The accumulated gradients, before any transform.
            scale: What they are still multiplied with, 0-d; None for 1.

        Raises:
            RuntimeError: If their dtypes or shapes are not those that the plan in ``grads`` was made for.
        """
        self._has_read = True
        on_host = grads.norms_on_host() if scale is None else None
        if on_host is not None:
            self._norms = on_host
        else:
            norms, norm = grads.norms(), grads.norm()
            self._norms = (norms, norm) if scale is None else (norms / scale, norm / scale)
        self.has_sparse = grads.has_sparse
        self._loop_clip = None if self.loop_clipping is None else self.loop_clipping.take()
        self._probe.loss_scale = self.loss_scale
        self._probe.grad_scale = scale
        self._probe.before_transforms()
        self._judged.loss_scale, self._judged.grad_scale = self.loss_scale, scale
        self._judged.before_transforms(self.step + 1)

    def take(self, norms: Tensor, norm: Tensor) -> None:
        """Take norms that were read elsewhere, instead of `read`: per parameter, and the joint one, 0-d."""
        self._norms = norms, norm

    def take_nothing(self) -> bool:
        """Take a step without any gradient, instead of `read`: its norms are zeros.

        Returns:
            Whether it counts as a step of training. It does not once there has been a gradient: an optimizer
            that is stepped between two backward passes of its own changes nothing and learns nothing.
        """
        if not self._has_read:
            if self.loop_clipping is not None:
                self.loop_clipping.take()  # it has clipped nothing
            self._norms = torch.zeros(0, device=self._device), torch.zeros((), device=self._device)
        return not self._has_read

    @property
    def is_under_way(self) -> bool:
        """Whether a step has been read or taken that is not finished."""
        return self._norms is not None

    def before_step(self) -> None:
        """Keep what is needed of the weights."""
        self._probe.before_step()
        self._judged.before_step()

    def cancel(self) -> None:
        """Forget the step under way: it raised."""
        self._probe.cancel()
        self._judged.cancel()
        self._norms = self._loop_clip = None

    def finish(
        self,
        *,
        present: list[int] | None,
        applied: Sequence[Tensor],
        links: tuple[ChainLink, ...],
        skipped: bool,
        window: AccumulationWindow,
        scaling: FusedScaling,
        rates: StepRates,
    ) -> None:
        """The real step is done: send its numbers on their way to the host.

        Args:
            present: Indices of the parameters that had a gradient; None for all.
            applied: Joint norm after each link of the chain, 0-d.
            links: What these links are called.
            skipped: Whether the step was dropped.
            window: The window that the step has used.
            scaling: What a `GradScaler` has handed over for it.
            rates: The learning rates it was made with.
        """
        begin = time.perf_counter()
        assert self._norms is not None  # `read` comes first
        norms, norm = self._norms
        measured, vectors = self._probe.after_step()
        self._judged.after_step(self.step + 1)
        clip, self._loop_clip = self._loop_clip, None
        if window.num_microbatches > 1:
            clip = None  # it acted on each microbatch, and what the window holds was never clipped as a whole
        if clip is not None:
            after = torch.tensor(norm, dtype=torch.float64, device="cpu") if isinstance(norm, float) else norm
            norm, applied, links = clip.norm_before(after), (after, *applied), (clip.link, *links)
        loss, loss_scale = window.loss, self.loss_scale
        if scaling.full_scale is not None:
            loss_scale = scaling.full_scale
        scalars, coming = _to_copy(
            norm, applied, loss, window.microbatch_square, scaling.found_inf, loss_scale
        )
        copy = HostCopy(scalars, (norms, *vectors))
        step = self.step + 1
        now = time.perf_counter()
        self.watch_s += now - begin
        self.step_s = now - self.ended_s + self._pending.take_waited_s()
        self._elapsed_s += self.step_s
        self._pending.add(
            PendingStep(
                self._known_of(step, window, rates, links),
                copy=copy,
                coming=coming,
                loss=None if isinstance(loss, Tensor) else loss,
                loss_scale=1.0 if isinstance(loss_scale, Tensor) else loss_scale,
                skipped=skipped,
                present=present,
                measured=measured,
                is_clipped_whole=None if clip is None else clip.is_whole,
            )
        )
        self.step = step  # not before: a Ctrl-C here leaves no step without a record
        probe, watch_s = self._probe, self.watch_s - self._probe.spent_s - self._judged.spent_s
        self.budget.earn(self.step_s, watch_s, at_most_s=2 * probe.max_cost_s)
        self._norms = None
        self.watch_s = 0.0
        self.ended_s = time.perf_counter()

    def _known_of(
        self, step: int, window: AccumulationWindow, rates: StepRates, links: tuple[ChainLink, ...]
    ) -> partial[StepRecord]:
        """The record of the step just done, as far as the host knows it."""
        return partial(
            StepRecord,
            step=step,
            lr=rates.lr,
            base_lr=rates.base_lr,
            max_lr=rates.max_lr,
            num_tokens=window.num_tokens,
            num_samples=window.num_samples,
            num_microbatches=window.num_microbatches,
            elapsed_s=self._elapsed_s,
            step_s=self.step_s,
            watch_s=self.watch_s,
            links=links,
            part=self._part,
        )

    @property
    def are_records_due(self) -> bool:
        """Whether finished steps need not be kept back any longer."""
        return self._pending.are_due

    def records(self, *, wait: bool) -> list[StepRecord]:
        """Return the steps whose numbers have arrived, as `OptimizerTap.records` says."""
        return self._pending.take_records(wait=wait)

    def correct_loss(self, loss: Tensor | float) -> bool:
        """Report another loss for the newest step; False if it has been handed over already.

        Args:
            loss: A float or a tensor of one entry, which is not waited for.
        """
        if isinstance(loss, Tensor) and not loss.is_cpu:
            return self._pending.correct_loss(HostCopy((loss.detach(),), ()))
        return self._pending.correct_loss(float(loss))

    def forget_stats(self) -> None:
        """Forget the expensive statistics: they are of other weights than there are now."""
        self._probe.forget(self.step)
        self._judged.forget()

    def judged_at(self, step: int) -> LayerStats | None:
        """Return what verdicts look at after step number ``step``, as `JudgedStatsProbe.stats_at` does."""
        return self._judged.stats_at(step)

    def capture(self) -> dict[str, Any]:
        """Return the step, the elapsed time and the statistics. All records must have been taken."""
        return {
            "step": self.step,
            "elapsed_s": self._elapsed_s,
            "judged": self._judged.capture(),
            "shown": self._probe.capture(),
        }

    def restore_(self, captured: Mapping[str, Any]) -> None:
        """Go back to what `capture` returned. All records must have been taken.

        Raises:
            ValueError: If it is of other layers.
        """
        self._judged.restore_(captured["judged"])
        self._probe.restore_(captured["shown"])
        self.step, self._elapsed_s = captured["step"], captured["elapsed_s"]

    def stats(self) -> LayerStats:
        """The expensive statistics as of the last record that was returned: the newest of both kinds."""
        shown, judged = self._probe.snapshot(), self._judged.newest
        return shown if judged is None else shown.with_newer(judged)


def _to_copy(
    norm: Tensor | float,
    applied: Sequence[Tensor],
    loss: Tensor | float | None,
    square: Tensor | None,
    found_inf: Tensor | None,
    scale: Tensor | float,
) -> tuple[list[Tensor | float], list[str]]:
    """The scalars that the host needs, and the names of the last of them: those that are on a device."""
    scalars: list[Tensor | float] = [norm, *applied]
    coming: list[str] = []
    for name, value in (("loss", loss), ("square", square), ("found_inf", found_inf), ("scale", scale)):
        if isinstance(value, Tensor):
            coming.append(name)
            scalars.append(value.to(norm.device) if isinstance(norm, Tensor) else float(value))
    return scalars, coming
