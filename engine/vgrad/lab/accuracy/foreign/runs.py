"""Runs the loops and keeps what a judge sees of them, part by part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vgrad.controls.controls import Controls
from vgrad.events.layer_stats import LayerStats
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.lab.accuracy.foreign import healthy, healthy_held_out, sick, sick_held_out
from vgrad.lab.accuracy.foreign.kinds import FOREIGN_KINDS, ForeignKind
from vgrad.lab.accuracy.foreign.loops import Loop, LoopSetting
from vgrad.measure.hidden_gradients import ratio, time_slope
from vgrad.watching.optimizer_tap import OptimizerTap

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOPS: Mapping[str, tuple[Loop, float]] = {
    **healthy.LOOPS, **healthy_held_out.LOOPS, **sick.LOOPS, **sick_held_out.LOOPS,
}  # fmt: skip
"""Each kind's loop, and the number that a run which learnt comes below."""

KINDS: Mapping[str, ForeignKind] = {kind.name: kind for kind in FOREIGN_KINDS}

STATS_EVERY = 40  # steps between two rows of the expensive statistics; the judge looks no more often


@dataclass(slots=True)
class Seen:
    """What is seen of one part of a run: an optimizer with its layers.

    Attributes:
        info: Names and sizes of the layers; no baseline, and nothing that can be changed.
        records: Every step.
        stats: Statistics by the step from which on they are known.
        time: The same of the gradient at the inputs of a recurrent layer.
    """

    info: RunInfo
    records: list[StepRecord] = field(default_factory=list)
    stats: dict[int, LayerStats] = field(default_factory=dict)
    time: dict[int, TimeStats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ForeignRun:
    """A loop that was run.

    Attributes:
        kind: What it is an example of.
        seed: Of its weights and data.
        score: What the loop returned: lower is better; NaN if it did not get to its end.
        cured: The same with its cure; None of a healthy kind.
        parts: What was seen of it.
    """

    kind: ForeignKind
    seed: int
    score: float
    cured: float | None
    parts: tuple[Seen, ...]

    @property
    def label(self) -> str:
        """What the run had: that of its kind where the outcome confirms it."""
        limit = LOOPS[self.kind.name][1]
        learnt = self.score < limit
        if self.kind.label == "healthy":
            return "healthy" if learnt else "unclear"
        losses = (record.loss for part in self.parts for record in part.records)
        if not all(loss is None or math.isfinite(loss) for loss in losses):
            return "non-finite"
        if learnt:
            return "healthy"
        return self.kind.label if self.cured is not None and self.cured < limit else "unclear"


def run_kind(name: str, seed: int, *, with_cure: bool = True) -> ForeignRun:
    """Run one loop, watched, and its cure, unwatched."""
    kind, (loop, _) = KINDS[name], LOOPS[name]
    torch.manual_seed(seed)
    recorder = _Recorder()
    with recorder:
        score = loop(LoopSetting(recorder.watch, False, torch.Generator().manual_seed(seed)))
    cured = None
    if kind.label != "healthy" and with_cure:
        torch.manual_seed(seed)
        cured = loop(LoopSetting(lambda *_: None, True, torch.Generator().manual_seed(seed)))
    return ForeignRun(kind, seed, score, cured, recorder.parts)


class _Recorder:
    """Watches every optimizer that a loop names, from its hooks alone; the loss is caught at ``backward``."""

    def __init__(self) -> None:
        self._loss: Tensor | None = None
        self._taps: list[tuple[OptimizerTap, Seen]] = []
        self._backward = torch.autograd.backward

    @property
    def parts(self) -> tuple[Seen, ...]:
        return tuple(seen for _, seen in self._taps)

    def __enter__(self) -> None:
        backward = self._backward

        def caught(tensors: Any, *args: Any, **more: Any) -> None:
            if isinstance(tensors, Tensor) and tensors.numel() == 1:
                self._loss = tensors.detach()
            backward(tensors, *args, **more)

        torch.autograd.backward = caught

    def __exit__(self, *_: object) -> None:
        torch.autograd.backward = self._backward
        for tap, _seen in self._taps:
            tap.remove()

    def watch(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Watch the steps of one optimizer."""
        handle: list[OptimizerTap] = []

        def announce(*_: object) -> None:
            assert self._loss is not None
            handle[0].microbatch(self._loss.reshape(()))

        optimizer.register_step_pre_hook(announce)
        tap = OptimizerTap(model, optimizer, watch_budget=1.0)
        handle.append(tap)
        cells = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
        info = RunInfo(
            recipe="", description="", seed=0, device="cpu", layers=tap.layers.names,
            layer_sizes=tap.layers.sizes, unit="samples", num_steps=None, controls=Controls(),
            recurrent=bool(cells),
        )  # fmt: skip
        seen = Seen(info)
        self._taps.append((tap, seen))
        norms: list[NDArray[np.float32]] = []
        for cell in cells[-1:]:
            _watch_inputs(cell, norms)

        def collect(*_: object) -> None:
            for record in tap.records():
                seen.records.append(record)
                if record.step % STATS_EVERY == 0 or record.step == STATS_EVERY // 2:
                    seen.stats[record.step] = tap.stats()
                    if norms:
                        seen.time[record.step] = _time_stats(record.step, norms[-1])
            del norms[:-1]

        optimizer.register_step_post_hook(collect)


def _watch_inputs(cell: nn.RNNBase, norms: list[NDArray[np.float32]]) -> None:
    """Keep the norm of the gradient at each time step of a recurrent layer's inputs."""

    def keep(grad: Tensor) -> None:
        time_axis = 1 if cell.batch_first else 0
        by_time = grad.movedim(time_axis, 0).flatten(1).norm(dim=1)
        norms.append(by_time.numpy()[None])

    def before(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        inputs = args[0] if args[0].requires_grad else args[0].detach().requires_grad_()
        inputs.register_hook(keep)
        return (inputs, *args[1:])

    cell.register_forward_pre_hook(before)


def _time_stats(step: int, norms: NDArray[np.float32]) -> TimeStats:
    return TimeStats(step, norms, time_slope(norms[-1]), ratio(norms[-1]), math.nan, ())
