"""Tiny studies: protocols that take milliseconds, and results made up from numbers."""

from __future__ import annotations

import math

from vgrad.lab.study import Experiment, Method, Plan, Protocol, Result, Run, Solved
from vgrad.lab.study import method_table as m
from vgrad.lab.study.plan import CONTROL, settings

SHORT = Protocol("short", "article-net", 6, prefix=2)
UNTIL_SOLVED = Protocol(
    "until-solved",
    "article-net",
    40,
    base=settings(lr_scale="5"),
    solved=Solved("metric", 0.5, "error at most 50 %"),
    look_every=2,
    stops=True,
)
UP = Method("lr × 10", settings(lr_scale="10"))


def tiny_plan(num_seeds: int = 3) -> Plan:
    return Plan(
        (
            Experiment(SHORT, "Short. For tests.", (m.CLIP, m.MEAN, UP), num_seeds),
            Experiment(UNTIL_SOLVED, "Until it is solved.", (m.ASCEND,), num_seeds),
        )
    )


def made_up(val_loss: float, *, solved_at: int | None = None, metric: float = math.nan) -> Result:
    return Result(6, val_loss, val_loss, metric, 0.1, solved_at, verdict="healthy", took_s=1.0)


def made_up_results(plan: Plan, losses: dict[str, list[float]]) -> dict[Run, Result]:
    """A result for every method that ``losses`` names, seed by seed, in the first experiment."""
    experiment = plan.experiments[0]
    by_name = {method.name: method for method in (CONTROL, *experiment.methods)}
    return {
        Run(experiment.protocol, by_name[name], seed): made_up(loss)
        for name, values in losses.items()
        for seed, loss in enumerate(values)
    }
