"""A part of a watched run: one optimizer with its layers, its controls and its verdict."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from vgrad.controls.controls import as_applied, reduce, require_usable
from vgrad.diagnose.judge import Judge
from vgrad.errors import ConfigError
from vgrad.events.environment import find_environment
from vgrad.events.guesses import UNKNOWN, Guesses
from vgrad.events.notices import CommandApplied, CommandRejected, LayersChanged, LoopNoted, RunStarted
from vgrad.events.run_info import RunInfo
from vgrad.events.totals import Totals
from vgrad.gradients.sharded import is_sharded
from vgrad.measure.recurrent_inputs import RecurrentInputsProbe
from vgrad.watching.by_hand import UpdatesByHand, WithoutUpdates, as_measured, what_steps
from vgrad.watching.earlier_part import EarlierPart
from vgrad.watching.held_params import HeldParams
from vgrad.watching.loop_clipping import LoopClipping
from vgrad.watching.loop_remarks import CAPTURED, LoopRemarks
from vgrad.watching.loss_source import losses_from
from vgrad.watching.optimizer_tap import OptimizerTap
from vgrad.watching.part_capabilities import PartCapabilities
from vgrad.watching.reporter import Reporter
from vgrad.watching.sharded_part import require_own_gradients
from vgrad.watching.step_meter import JUDGED_SHARE
from vgrad.watching.stepped_in_backward import TapInBackward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor, nn

    from vgrad.controls.capabilities import Capabilities
    from vgrad.controls.controls import Command, Controls
    from vgrad.events.hub import Hub
    from vgrad.events.layer_stats import LayerStats
    from vgrad.events.step_record import StepRecord
    from vgrad.events.time_stats import TimeStats
    from vgrad.events.verdict import Verdict
    from vgrad.gradients.layers import Layers
    from vgrad.watching.guard import Guard
    from vgrad.watching.loss_source import LossSource

# For which finished steps are kept back to be reported together: most of what that costs is paid once for all
# of them. They are recorded as often.
_KEEP_S = 0.25


class WatchedPart:
    """Watches one optimizer, and says over the hub what it sees. Use it from the training thread.

    Args:
        model: The model, or all models in one module.
        optimizers: The optimizer; several only if each has a single parameter, see `TapInBackward`.
        hub: Gets the steps, the verdicts and the answers.
        guard: Takes errors of ours that must not reach the loop.
        loss: Returns the loss of the step about to be done; None to catch it at ``backward``.
        controls: What is done to the gradients from the first step on.
        watch_budget: Share of the step time for the expensive statistics, in [0, 1].
        id: Number of the part in its run.
        name: What the part is called.
        on_verdict: Is called with each verdict that differs in kind from the one before.
        require_ranks: Called where gradients are sharded; raises `ConfigError` if a rank is not watched.
        after: The part that this one goes on from, with another optimizer of the same parameters.

    Attributes:
        id: The same.
        name: The same.
        tap: Reads and steers the gradients.
        totals: The first and the newest numbers.
        held: The parameters of the optimizers.
        losses: Where the losses come from.
        on_records: Is given all steps that are reported; it may be assigned.
        is_loss_logged: Whether the loop reports its losses itself; it may be assigned.
        on_gone: Is given what the part leaves behind when it is gone; it may be assigned.

    Raises:
        ConfigError: If nothing can be watched, or ``controls`` cannot be carried out.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        hub: Hub,
        guard: Guard,
        *,
        loss: Callable[[], Tensor | float | None] | None,
        controls: Controls,
        watch_budget: float,
        id: int,
        name: str,
        on_verdict: Callable[[Verdict], None] | None = None,
        require_ranks: Callable[[], None] = lambda: None,
        after: EarlierPart | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.on_records: Callable[[int, Sequence[StepRecord]], None] | None = None
        self.on_gone: Callable[[EarlierPart], None] | None = None
        self._model = model
        self._optimizers = optimizers
        self._hub = hub
        self._guard = guard
        require_own_gradients(model)
        self.held = HeldParams(model, optimizers)
        layers = self.held.find_layers()
        self._environment = find_environment(layers.params[0].device)
        self._possible = PartCapabilities(model, optimizers, layers.params)
        needs_all_ranks = any(map(is_sharded, layers.params))
        if needs_all_ranks:
            watch_budget = 0.0  # the expensive statistics would be those of the pieces that are here
        require_usable(controls, self.capabilities)
        self.losses = self._loss_source(loss, layers)
        try:
            if needs_all_ranks:  # last of what can be refused here and not there
                require_ranks()
            self.tap = self._make_tap(layers, controls, watch_budget)
        except ConfigError:
            self.losses.close()
            raise
        self.tap.guard = guard
        self._observe_loop(guard)
        self.tap.on_control_dropped = self._control_dropped
        self.tap.on_capture = cache(self._captured)  # to be said once
        self.is_loss_logged = False
        self.totals = Totals() if after is None else after.totals
        self._as_known = WithoutUpdates() if self._is_by_hand else as_measured
        self._reporting = threading.RLock()  # several threads may train, and each may ask for all parts
        self._share_for_time = JUDGED_SHARE * watch_budget / 2
        self._through_time = self._make_time_probe()
        self._reporter = Reporter(hub, Judge(self.info()), self, part=id, on_verdict=on_verdict)
        if after is None:
            hub.notify(RunStarted(self.info()), part=id)
        else:
            self._go_on_from(after)

    def __del__(self) -> None:
        """Leave behind what later parts need: the optimizer is gone, and the part goes with it.

        Steps that were kept back are not reported here: this runs at any moment, perhaps within the hub.
        """
        with suppress(Exception):  # half made, or in a process that is ending: nothing is to be said
            if self.on_gone is not None:
                self.on_gone(self.leave())

    @property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in the order of ``StepRecord.grad_norms``."""
        return self.tap.layers.names

    @property
    def model(self) -> nn.Module:
        """As given."""
        return self._model

    @property
    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """As given."""
        return self._optimizers

    @property
    def step(self) -> int:
        """Number of optimizer steps seen."""
        return self.tap.step

    @property
    def verdict(self) -> Verdict:
        """The newest verdict."""
        return self._reporter.judge.verdict

    @property
    def controls(self) -> Controls:
        """The controls of the next step."""
        return self.tap.controls

    @property
    def capabilities(self) -> Capabilities:
        """What can be used here, and the reason for everything that cannot."""
        return self._possible.known

    def info(self) -> RunInfo:
        """What this part is."""
        layers = self.tap.layers
        return RunInfo(
            recipe=self.name,
            description=f"{what_steps(self._optimizers[0])} in a training loop that is not vgrad's",
            seed=None,
            device=str(layers.params[0].device),
            layers=layers.names,
            layer_sizes=layers.sizes,
            unit="samples",
            num_steps=None,
            controls=self.controls,
            recurrent=self._through_time.is_recurrent,
            capabilities=self.capabilities,
            environment=self._environment,
        )

    @property
    def guesses(self) -> Guesses:
        """What constant predictions cost; not known where the loop reports its losses itself."""
        return UNKNOWN if self.is_loss_logged else self.losses.guesses

    def judged_at(self, step: int) -> tuple[LayerStats | None, TimeStats | None]:
        """What had been measured for the verdicts up to step number ``step``."""
        stats = self.tap.meter.judged_at(step)
        return None if stats is None else self._as_known(stats), self._through_time.stats_at(step)

    def stats(self) -> LayerStats:
        """The expensive statistics of every layer."""
        return self._as_known(self.tap.stats())

    def time_stats(self) -> TimeStats | None:
        """The gradient at the inputs of recurrent layers; None where there are none."""
        return self._through_time.stats()

    def check(self, command: Command) -> None:
        """Check that ``command`` can be carried out here.

        Raises:
            ConfigError: If it cannot; says why.
        """
        if self.tap.meter.has_sparse:
            self._possible.refuse_dense(self.tap.layers.params)  # perhaps no module had said so
        controls = reduce(self.controls, command, self.capabilities)
        if controls.freeze is not None:
            controls.freeze.matching(self.layers)

    def apply(self, command: Command) -> CommandApplied | CommandRejected:
        """Carry out a command between two optimizer steps; the answer to a bad one says why it is bad."""
        step = self.step + 1
        self.report(wait=True)  # the steps so far were made with the controls so far
        try:
            controls = reduce(self.controls, command, self.capabilities)
            self.tap.controls = controls
        except ConfigError as error:
            return CommandRejected(step, command, str(error))
        return CommandApplied(step, as_applied(command, controls), controls)

    def report(self, *, wait: bool = False) -> None:
        """Report the finished steps whose numbers have arrived; ``wait`` for those of all."""
        with self._reporting:
            records = self.tap.records(wait=wait)
            if records:
                for record in records:
                    self.totals.observe(record)
                if self.on_records is not None:
                    self.on_records(self.id, records)
                self._reporter.report(records)
            self._remark()

    def _remark(self) -> None:
        """Say what a person should know of the loop's own settings, as of the newest step."""
        if self._remarks is not None:
            for text in self._remarks.new(self.controls, self.losses.num_passes):
                self._hub.notify(LoopNoted(self.step, text), part=self.id)

    def _captured(self) -> None:
        """CUDA records a step into a graph."""
        self._hub.notify(LoopNoted(self.step, CAPTURED), part=self.id)

    def leave(self) -> EarlierPart:
        """What another part needs to go on from this one, which steps no more. It leaves once."""
        self.on_gone = None
        records = self.tap.records(wait=True)
        for record in records:
            self.totals.observe(record)
        return EarlierPart(
            self.info(),
            id=self.id,
            step=self.step,
            elapsed_s=self.tap.meter.elapsed_s,
            totals=self.totals,
            controls=self.controls,
            judge=self._reporter.judge.capture(),
            unjudged=records,
            params=self.held.trained(),
            model=weakref.ref(self._model),
        )

    def _go_on_from(self, earlier: EarlierPart) -> None:
        self.tap.meter.go_on_from(earlier.step, earlier.elapsed_s)
        before, now = earlier.info, self.info()
        if (now.layers, now.layer_sizes) == (before.layers, before.layer_sizes):
            judge = Judge(now)
            judge.restore_(earlier.judge)
            self._reporter.judge = judge
            self._reporter.judge_all(earlier.unjudged)
        else:
            self._hub.notify(LayersChanged(self.step, now), part=self.id)
        if now.description != before.description:
            self._hub.notify(LoopNoted(self.step, f"from here on: {now.description}"), part=self.id)

    def take_off(self) -> None:
        """Take all hooks off again."""
        if self._loop_clipping is not None:
            self._loop_clipping.close()
        self.tap.on_boundary = None
        self.tap.remove()
        self._through_time.close()
        self.losses.close()

    def publish(self) -> None:
        """Give readers the statistics and the verdict as they are now."""
        self._reporter.publish()

    def at_boundary(self) -> None:
        """A step begins: take in what its backward pass has left, and report the steps before it."""
        self._through_time.at_step(self.step + 1)
        self._follow_params()
        if self.tap.meter.are_records_due:
            self.report()

    def _follow_params(self) -> None:
        """Watch the parameters that the optimizer holds now, where some were added, replaced or unfrozen."""
        if not self.held.have_changed:
            return
        layers, before = self.held.find_layers(), self.tap.layers
        self._environment = find_environment(layers.params[0].device)
        if list(map(id, layers.params)) == list(map(id, before.params)):
            return
        self.report(wait=True)
        self.tap.use_layers(layers)
        if self._loop_clipping is not None:
            self._loop_clipping.use_params(layers.params)
        if len(self._optimizers) == 1:
            self.losses.use_params(layers.params)
        self._through_time.close()
        self._through_time = self._make_time_probe()
        judge = Judge(self.info())
        if layers.names == before.names:  # other tensors in the same places: what was seen so far counts
            judge.restore_(self._reporter.judge.capture())
        self._reporter.judge = judge
        if (layers.names, layers.sizes) != (before.names, before.sizes):
            self._hub.notify(LayersChanged(self.step, self.info()), part=self.id)

    def _make_time_probe(self) -> RecurrentInputsProbe:
        return RecurrentInputsProbe(
            self._model, self.tap.layers.params, self._share_for_time, self._guard.caught
        )

    def _loss_source(self, loss: Callable[[], Tensor | float | None] | None, layers: Layers) -> LossSource:
        """Where losses come from, and what is called when a backward pass has ended."""
        if len(self._optimizers) > 1:
            return losses_from(loss, (), self._guard, self._backward_ended)
        after_backward = self._step_by_hand if self._is_by_hand else None
        return losses_from(loss, layers.params, self._guard, after_backward)

    @property
    def _is_by_hand(self) -> bool:
        return isinstance(self._optimizers[0], UpdatesByHand)

    def _step_by_hand(self) -> None:
        """A backward pass has ended: its gradients are read and steered before the loop uses them."""
        if getattr(self, "tap", None) is not None:
            self._optimizers[0].step()

    def _make_tap(
        self, layers: Layers, controls: Controls, watch_budget: float
    ) -> OptimizerTap | TapInBackward:
        if len(self._optimizers) > 1:
            return TapInBackward(
                self._optimizers, layers, self.losses, controls=controls, keep_s=_KEEP_S, part=self.id
            )
        return OptimizerTap(
            self._model,
            self._optimizers[0],
            controls=controls,
            watch_budget=watch_budget,
            keep_s=_KEEP_S,
            layers=layers,
            part=self.id,
            losses=self.losses,
        )

    def _observe_loop(self, guard: Guard) -> None:
        """Notice how the loop itself clips: not where gradients are used before it could."""
        self._loop_clipping: LoopClipping | None = None
        self._remarks: LoopRemarks | None = None
        if len(self._optimizers) == 1 and not self._is_by_hand:
            self._loop_clipping = self.tap.meter.loop_clipping = LoopClipping(self.tap.layers.params, guard)
            self._remarks = LoopRemarks(self._loop_clipping)

    def _backward_ended(self) -> None:
        tap = getattr(self, "tap", None)  # another thread's pass may end before there is one
        if isinstance(tap, TapInBackward):
            tap.backward_ended()

    def _control_dropped(self, control: str, reason: str) -> None:
        """The tap has switched off what it cannot carry out: it cannot be asked for again either."""
        self._possible.refuse_for(reason, self.tap.layers.params)
        self._reporter.control_dropped(control, reason)
