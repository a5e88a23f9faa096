"""From results to a table: a row per experiment and method, medians and spreads over the seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from vgrad.lab.study.outcome import MethodOutcome, compare_pairs
from vgrad.lab.study.plan import CONTROL, Experiment, Method, Plan, Protocol, Run
from vgrad.lab.study.run import Result


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of a few numbers; NaN where there are none, infinite ones count as largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of ``values``; NaN counts as infinite, because such a run failed."""
        ordered = sorted(math.inf if math.isnan(value) else value for value in values)
        return cls(median(ordered), ordered[0], ordered[-1]) if ordered else cls(*[math.nan] * 3)


@dataclass(frozen=True, slots=True)
class TableRow:
    """A method in an experiment.

    Attributes:
        experiment: Name of its protocol.
        recipe: The recipe.
        method: Name of the method; `CONTROL`'s for the runs without one.
        settings: What it sets, as text.
        num_seeds: Finished pairs of runs, method and control; for the control its finished runs.
        train_loss: Training loss at the end.
        val_loss: Validation loss at the end.
        metric: The recipe's own second number; NaN where it has none.
        first_grad_norm: Norm of the first layer's gradient at the end.
        num_solved: How many were solved; None where there is nothing to solve.
        solved_at: Updates to solve of those that were.
        verdicts: The last verdicts with how many runs had them, the most frequent first.
        ratio: Median of the pairs' ratios, and its interval; NaN for the control. See `compare`.
        outcome: None for the control.
    """

    experiment: str
    recipe: str
    method: str
    settings: str
    num_seeds: int
    train_loss: Spread
    val_loss: Spread
    metric: Spread
    first_grad_norm: Spread
    num_solved: int | None
    solved_at: Spread
    verdicts: tuple[tuple[str, int], ...]
    ratio: Spread
    outcome: MethodOutcome | None


def make_rows(plan: Plan, done: Mapping[Run, Result]) -> list[TableRow]:
    """The rows of every experiment that has finished runs, in the plan's order.

    Only whole pairs count: a method's run without its control's says nothing.
    """
    rows = []
    for experiment in plan.experiments:
        for method in (CONTROL, *experiment.methods):
            pairs = _pairs(experiment, method, done)
            if pairs:
                rows.append(_row(experiment.protocol, method, pairs))
    return rows


def _pairs(experiment: Experiment, method: Method, done: Mapping[Run, Result]) -> list[tuple[Result, Result]]:
    pairs = []
    for seed in range(experiment.num_seeds):
        result = done.get(Run(experiment.protocol, method, seed))
        control = done.get(Run(experiment.protocol, CONTROL, seed))
        if result is not None and control is not None:
            pairs.append((result, control))
    return pairs


def _row(protocol: Protocol, method: Method, pairs: list[tuple[Result, Result]]) -> TableRow:
    results = [result for result, _ in pairs]
    has_metric = any(math.isfinite(result.metric) for result in results)
    solved = [float(result.solved_at) for result in results if result.solved_at is not None]
    comparison = compare_pairs(
        *zip(*((a.judged(protocol), b.judged(protocol)) for a, b in pairs), strict=True)
    )
    is_control = method == CONTROL
    ratio = Spread(comparison.ratio, comparison.low, comparison.high)
    return TableRow(
        experiment=protocol.name,
        recipe=protocol.recipe,
        method=method.name,
        settings=method.words,
        num_seeds=len(pairs),
        train_loss=Spread.of([result.train_loss for result in results]),
        val_loss=Spread.of([result.val_loss for result in results]),
        metric=Spread.of([result.metric for result in results] if has_metric else []),
        first_grad_norm=Spread.of([result.first_grad_norm for result in results]),
        num_solved=None if protocol.solved is None else len(solved),
        solved_at=Spread.of(solved),
        verdicts=tuple(Counter(result.verdict for result in results).most_common()),
        ratio=Spread.of([]) if is_control else ratio,
        outcome=None if is_control else comparison.outcome,
    )
