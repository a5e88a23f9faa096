"""Trains the cases, and the counterfactuals of those that did not learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vgrad.config import RunConfig
from vgrad.controls.controls import Reinit
from vgrad.lab.accuracy.cases import Case, Part
from vgrad.lab.accuracy.counterfactuals import CLIP, Counterfactual, counterfactuals
from vgrad.lab.accuracy.labels import CureKind, Outcome, Scale, needed_cures
from vgrad.lab.process_pool import map_in_processes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vgrad.train.trainer import Trainer

    Floats = NDArray[np.float32]

NORMS_EVERY = 10  # steps between two rows of layers' norms that are kept
STATS_EVERY = 40  # and of their expensive statistics: the judge looks no more often

# Ten times what a user's run spends, so that every number is fresh when it is looked at.
_WATCH_BUDGET = 0.2

_In = TypeVar("_In")
_Out = TypeVar("_Out")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What a judge sees of a run.

    Attributes:
        layers: Layer names.
        layer_sizes: Entries per layer.
        recurrent: Whether the model has a dimension of time.
        structure: As in `vgrad.events.run_info.RunInfo`.
        steps: Loss, gradient norm and applied norm of each step, shape ``(num_steps, 3)``.
        norms: Layers' gradient norms at steps 1, 11, 21 …, shape ``(num_rows, num_layers)``.
        stats: Update ratio, share of zeros, and share that float16 would lose, at steps 40, 80 …,
            shape ``(num_rows, 3, num_layers)``.
        time: Slope and ratio through time at the same steps, shape ``(num_rows, 2)``; NaN: there is none.
    """

    layers: tuple[str, ...]
    layer_sizes: tuple[int, ...]
    recurrent: bool
    structure: tuple[tuple[str, tuple[str, ...]], ...]
    steps: Floats
    norms: Floats
    stats: Floats
    time: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRun:
    """A case that was trained.

    Attributes:
        case: What was trained.
        outcome: How it went.
        trace: What a judge sees of it.
        cures: Final losses of its counterfactuals, by kind and name.
    """

    case: Case
    outcome: Outcome
    trace: Trace
    cures: dict[CureKind, dict[str, float]] = field(default_factory=dict)


def train_all(cases: Sequence[Case], *, processes: int, on_progress: OnProgress) -> list[LabelledRun]:
    """Train every case, then the counterfactuals that its label depends on.

    Args:
        cases: What to train.
        processes: How many to train at a time, each in a process of its own with one thread.
        on_progress: Called with what is being done, how many are done, and how many there are.

    Returns:
        The runs, in the order of ``cases``.
    """

    def each(what: str, function: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
        results: dict[int, _Out] = {}
        with closing(map_in_processes(function, items, processes=processes)) as finished:
            for index, result in finished:
                results[index] = result
                on_progress(what, len(results), len(items))
        return [results[index] for index in range(len(items))]

    runs = each("runs", train_case, cases)
    scales = scales_of(runs)
    sick = [
        (run, kinds, scale)
        for run in runs
        if (kinds := needed_cures(run.outcome, scale := scales[task_of(run.case)]))
    ]
    by_case = {case.name: run for case, run in zip(cases, runs, strict=True)}
    for name, cures in each("counterfactuals", _try_cures, sick):
        by_case[name].cures.update(cures)
    return runs


TaskKey = tuple[Part, str, int]


def task_of(case: Case) -> TaskKey:
    """Runs with the same of this compare by their losses: part, task and number of steps.

    Nothing crosses between the parts, and no run is measured by one that had more time.
    """
    return case.part, case.task, case.steps


def scales_of(runs: Iterable[LabelledRun]) -> dict[TaskKey, Scale]:
    """What learning means on each task: the best of these runs sets the mark."""
    scales: dict[TaskKey, Scale] = {}
    for run in runs:
        task, trivial = task_of(run.case), run.case.trivial
        best = scales[task].best if task in scales else math.inf
        final = run.outcome.final
        scales[task] = Scale(trivial, min(best, math.inf if math.isnan(final) else final))
    return scales


def train_case(case: Case) -> LabelledRun:
    """Train one case, watched as a user's run is."""
    trainer = _build(case, watch_budget=_WATCH_BUDGET)
    info = trainer.info()
    steps: list[tuple[float, float, float]] = []
    norms: list[Floats] = []
    stats: list[Floats] = []
    time: list[tuple[float, float]] = []
    for step in range(1, case.steps + 1):
        record = trainer.train_step()
        steps.append((record.loss_or_nan, record.grad_norm, record.applied_norm))
        if step % NORMS_EVERY == 1:
            norms.append(record.grad_norms)
        if step % STATS_EVERY == 0:
            now, through_time = trainer.judged_at(step)
            if now is None:
                stats.append(np.full((3, len(info.layers)), np.nan))
            else:
                stats.append(np.stack((now.update_ratio, now.zero_share, now.underflow_share)))
            time.append(
                (math.nan, math.nan) if through_time is None else (through_time.slope, through_time.ratio)
            )
        if not math.isfinite(record.loss_or_nan):
            break
    trainer.close()
    trace = Trace(
        layers=info.layers,
        layer_sizes=info.layer_sizes,
        recurrent=info.recurrent,
        structure=info.structure,
        steps=np.array(steps, dtype=np.float32),
        norms=np.array(norms, dtype=np.float32),
        stats=np.array(stats, dtype=np.float32).reshape(-1, 3, len(info.layers)),
        time=np.array(time, dtype=np.float32).reshape(-1, 2),
    )
    return LabelledRun(case, Outcome.of([loss for loss, _, _ in steps]), trace)


def _try_cures(
    sick: tuple[LabelledRun, tuple[CureKind, ...], Scale],
) -> tuple[str, dict[CureKind, dict[str, float]]]:
    run, kinds, scale = sick
    case = run.case
    found: dict[CureKind, dict[str, float]] = {}
    for kind in kinds:
        tried = found.setdefault(kind, {})
        for counterfactual in counterfactuals(case, kind):
            is_same = (
                counterfactual.name == CLIP and run.trace.steps[:, 1].max() <= 1.0
            )  # it would never clip
            tried[counterfactual.name] = run.outcome.final if is_same else _final_loss(counterfactual, scale)
            if scale.learnt(tried[counterfactual.name]):
                break
        if kind == "slow" and any(map(scale.learnt, tried.values())):
            break  # the label is settled
    return case.name, found


def _final_loss(counterfactual: Counterfactual, scale: Scale) -> float:
    """Mean loss of the last tenth of the steps, or of those before it was seen to have learnt."""
    case = counterfactual.case
    trainer = _build(case, watch_budget=0.0)
    if counterfactual.redraw:
        trainer.apply(Reinit(str(case.options.get("init", "torch"))))
    tail = max(1, case.steps // 10)
    losses: list[float] = []
    mean = math.nan
    for step in range(1, case.steps + 1):
        losses.append(trainer.train_step().loss_or_nan)
        if not math.isfinite(losses[-1]):
            mean = math.nan
            break
        if step % tail == 0:
            mean = sum(losses[-tail:]) / tail
            if scale.learnt(mean):
                break
    trainer.close()
    return mean


def _build(case: Case, *, watch_budget: float) -> Trainer:
    import torch

    from vgrad.run.build import build

    config = RunConfig.make(
        recipe=case.recipe,
        seed=case.seed,
        device="cpu",
        watch_budget=watch_budget,
        **case.settings,
        options=dict(case.options),
    )
    trainer = build(config)
    if case.dead_bias:
        with torch.no_grad():
            for layer in trainer.task.model.layers:  # type: ignore[union-attr]  # a perceptron's
                layer.bias += case.dead_bias
    return trainer
