"""Replays the judge over labelled runs and counts how often it is right. Free of torch.

The verdict that counts is the one at the end of the run: what somebody reads who looks then. How
many healthy runs were called sick at any time is counted beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vgrad.config import RunConfig
from vgrad.controls.controls import Controls
from vgrad.diagnose.judge import Judge
from vgrad.events.layer_stats import LayerStats
from vgrad.events.run_info import RunInfo
from vgrad.events.step_record import StepRecord
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict
from vgrad.lab.accuracy.labels import LABELS, Label, label_of
from vgrad.lab.accuracy.runs import NORMS_EVERY, STATS_EVERY, LabelledRun, scales_of, task_of
from vgrad.recipes.registry import get_recipe

if TYPE_CHECKING:
    from vgrad.lab.accuracy.cases import Part

SICK = ("vanishing", "exploding", "dead", "non-finite")
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled run and what was made of it.

    Attributes:
        run: The run.
        label: What it had.
        why: Why it is labelled so.
        verdict: The verdict at its end.
        was_called: Kinds of all verdicts on the way, the first one first.
        blind: The verdict at its end of a judge that does not know what a constant prediction costs.
    """

    run: LabelledRun
    label: Label
    why: str
    verdict: Verdict
    was_called: tuple[str, ...]
    blind: Verdict

    @property
    def is_right(self) -> bool:
        """Whether the verdict is the label."""
        return is_right(self.verdict.kind, self.label)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of runs with its 95 % interval.

    Attributes:
        count: How many.
        total: Of how many.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share; NaN of none."""
        return self.count / self.total if self.total else math.nan

    @property
    def expected(self) -> float:
        """Laplace's rule of succession, ``(count + 1) / (total + 2)``: few cases prove little."""
        return (self.count + 1) / (self.total + 2)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval; NaN of none.

        Source:
            Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
        """
        if not self.total:
            return math.nan, math.nan
        n, p = self.total, self.value
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        # Rounding must not leave p itself outside, where it is 0 or 1.
        return min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half))

    def words(self) -> str:
        """The counts, the share and its interval."""
        if not self.total:
            return "none to count"
        low, high = self.interval
        return f"{self.count} of {self.total}, {self.value:.1%} (95 %: {low:.1%} to {high:.1%})"


def judge_all(runs: Sequence[LabelledRun]) -> list[Judged]:
    """Label and judge every run."""
    scales = scales_of(runs)
    judged = []
    for run in runs:
        label, why = label_of(run.outcome, run.cures, scales[task_of(run.case)])
        verdict, was_called = replay(run)
        blind, _ = replay(run, knows_baseline=False)
        judged.append(Judged(run, label, why, verdict, was_called, blind))
    return judged


def replay(run: LabelledRun, *, knows_baseline: bool = True) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict at the end of a run, and the kinds of all verdicts on the way."""
    info, steps = observations(run)
    judge = Judge(info if knows_baseline else replace(info, baseline=None))
    kinds = [verdict.kind for step in steps if (verdict := judge.observe(*step)) is not None]
    return judge.verdict, tuple(kinds)


Observation = tuple[StepRecord, LayerStats | None, Controls, TimeStats | None]
"""What a judge sees of a step."""


def observations(run: LabelledRun) -> tuple[RunInfo, Iterator[Observation]]:
    """What a judge sees of a run, and of each of its steps."""
    controls = _controls(run)
    return _info(run, controls), _steps(run, controls)


def _steps(run: LabelledRun, controls: Controls) -> Iterator[Observation]:
    trace = run.trace
    stats: LayerStats | None = None
    time: TimeStats | None = None
    for index, (loss, grad_norm, applied) in enumerate(trace.steps.tolist()):
        step = index + 1
        if step % STATS_EVERY == 0 and step // STATS_EVERY <= len(trace.stats):
            row = step // STATS_EVERY - 1
            stats, time = _stats(trace.stats[row], step), _time(trace.time[row], step)
        norms = trace.norms[min(index // NORMS_EVERY, len(trace.norms) - 1)]
        record = StepRecord(
            step=step, loss=loss, lr=math.nan, base_lr=math.nan, grad_norm=grad_norm, applied_norm=applied,
            grad_norms=norms, num_tokens=0, num_samples=0, num_microbatches=1, elapsed_s=0.0, step_s=0.0,
            watch_s=0.0,
        )  # fmt: skip
        yield record, stats, controls, time


def matrix(judged: Iterable[Judged]) -> dict[Label, Counter[str]]:
    """How often each label got each verdict."""
    rows: dict[Label, Counter[str]] = {label: Counter() for label in LABELS}
    for one in judged:
        if one.label != "unclear":
            rows[one.label][one.verdict.kind] += 1
    return rows


def is_right(kind: str, label: str) -> bool:
    """Whether a verdict of this kind is right about a run with this label: a stall is no sickness."""
    return kind == label or (kind == "stalled" and label == "healthy")


def share_right(judged: Iterable[Judged], *, blind: bool = False) -> Share:
    """Share of the labelled runs whose verdict is right, or that of a judge who knows no baseline."""
    clear = [one for one in judged if one.label != "unclear"]
    return Share(
        sum(is_right((one.blind if blind else one.verdict).kind, one.label) for one in clear), len(clear)
    )


def share_of_healthy_called_sick(judged: Iterable[Judged], *, ever: bool = False) -> Share:
    """Share of the healthy runs whose verdict is a sickness, at the end or ``ever``."""
    healthy = [one for one in judged if one.label == "healthy"]
    sick = sum(
        any(kind in SICK for kind in one.was_called) if ever else one.verdict.kind in SICK for one in healthy
    )
    return Share(sick, len(healthy))


def of_part(judged: Iterable[Judged], part: Part) -> list[Judged]:
    """The runs whose family belongs to ``part``."""
    return [one for one in judged if one.run.case.part == part]


def _controls(run: LabelledRun) -> Controls:
    case = run.case
    config = RunConfig.make(recipe=case.recipe, seed=case.seed, **case.settings, options=dict(case.options))
    return config.controls(get_recipe(case.recipe).controls)


def _info(run: LabelledRun, controls: Controls) -> RunInfo:
    case, trace = run.case, run.trace
    return RunInfo(
        recipe=case.recipe, description="", seed=case.seed, device="cpu", layers=trace.layers,
        layer_sizes=trace.layer_sizes, unit="samples", num_steps=case.steps, controls=controls,
        recurrent=trace.recurrent, structure=trace.structure, baseline=case.baseline,
    )  # fmt: skip


def _stats(row: Any, step: int) -> LayerStats:
    update_ratio, zero_share, underflow_share = row
    unknown = np.full(len(update_ratio), np.nan, dtype=np.float32)
    return LayerStats(
        measured_step=np.full(len(update_ratio), step, dtype=np.int64),
        entries_step=np.full(len(update_ratio), -1, dtype=np.int64), weight_norm=unknown,
        update_ratio=update_ratio, grad_max=unknown, zero_share=zero_share, underflow_share=underflow_share,
        num_non_finite=unknown, histogram=unknown[:, None],
    )  # fmt: skip


def _time(row: Any, step: int) -> TimeStats | None:
    slope, ratio = row.tolist()
    if math.isnan(slope) and math.isnan(ratio):
        return None
    unknown = np.full((1, 1), np.nan, dtype=np.float32)
    return TimeStats(step, unknown, slope=slope, ratio=ratio, spectral_radius=math.nan, names=())
