"""Keeps the labelled runs: a readable line for each, and what a judge sees of them. Free of torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vgrad.errors import DataError
from vgrad.lab.accuracy.cases import Case
from vgrad.lab.accuracy.labels import Outcome, label_of
from vgrad.lab.accuracy.runs import LabelledRun, Trace, scales_of, task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"
_RUNS, _TRACES = "runs.jsonl", "traces.npz"

# Relative errors of 2e-4 in losses and norms and of 1 % in a layer's: no verdict hangs on less.
_KEPT_BITS = np.uint32(0xFFFF_F800)


def write_runs(runs: Sequence[LabelledRun], directory: Path = DATA) -> None:
    """Write ``runs.jsonl``, a line for each run, and ``traces.npz``, their traces end to end.

    Losses, gradient norms and applied norms lose the last 11 bits of float32; what is known by
    layer is kept as float16 of its log10.
    """
    directory.mkdir(parents=True, exist_ok=True)
    scales = scales_of(runs)
    lines = []
    for run in runs:
        label, why = label_of(run.outcome, run.cures, scales[task_of(run.case)])
        lines.append(json.dumps(_row(run, label, why), ensure_ascii=False))
    (directory / _RUNS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    traces = [run.trace for run in runs]
    steps = np.concatenate([trace.steps.T.ravel() for trace in traces]).astype(np.float32)
    np.savez_compressed(
        directory / _TRACES,
        steps=(steps.view(np.uint32) & _KEPT_BITS).view(np.float32),
        norms=_log10(np.concatenate([trace.norms.ravel() for trace in traces])),
        stats=_log10(np.concatenate([trace.stats.ravel() for trace in traces])),
        slopes=np.concatenate([trace.time[:, 0] for trace in traces]).astype(np.float16),
        ratios=_log10(np.concatenate([trace.time[:, 1] for trace in traces])),
    )


def read_runs(directory: Path = DATA) -> list[LabelledRun]:
    """Read what `write` wrote.

    Raises:
        DataError: If it is not there.
    """
    try:
        lines = (directory / _RUNS).read_text(encoding="utf-8").splitlines()
        with np.load(directory / _TRACES) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise DataError(
            f"cannot read the labelled runs in {directory}: {error}; --rerun trains them again"
        ) from None
    reader = {
        name: _Reader(values if name in {"steps", "slopes"} else _power10(values))
        for name, values in arrays.items()
    }
    return [_run(json.loads(line), reader) for line in lines]


class _Reader:
    """Takes one run after the other off an array."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values.astype(np.float32)
        self._place = 0

    def take(self, *shape: int) -> NDArray[np.float32]:
        begin, self._place = self._place, self._place + math.prod(shape)
        return self._values[begin : self._place].reshape(shape)


def _row(run: LabelledRun, label: str, why: str) -> dict[str, Any]:
    case, outcome, trace = run.case, run.outcome, run.trace
    return {
        "name": case.name,
        "part": case.part,
        "label": label,
        "why": why,
        "first": _or_none(outcome.first),
        "final": _or_none(outcome.final),
        "peak": _or_none(outcome.peak),
        "cures": {
            kind: {name: _or_none(loss) for name, loss in tried.items()} for kind, tried in run.cures.items()
        },
        "family": case.family,
        "task": case.task,
        "recipe": case.recipe,
        "seed": case.seed,
        "steps": case.steps,
        "settings": dict(case.settings),
        "options": dict(case.options),
        "dead_bias": case.dead_bias,
        "layers": trace.layers,
        "layer_sizes": trace.layer_sizes,
        "recurrent": trace.recurrent,
        "structure": trace.structure,
        "rows": [len(trace.steps), len(trace.norms), len(trace.stats)],
    }


def _run(row: Mapping[str, Any], reader: Mapping[str, _Reader]) -> LabelledRun:
    num_steps, num_norms, num_stats = row["rows"]
    num_layers = len(row["layers"])
    trace = Trace(
        layers=tuple(row["layers"]),
        layer_sizes=tuple(row["layer_sizes"]),
        recurrent=row["recurrent"],
        structure=tuple((name, tuple(words)) for name, words in row["structure"]),
        steps=reader["steps"].take(3, num_steps).T,
        norms=reader["norms"].take(num_norms, num_layers),
        stats=reader["stats"].take(num_stats, 3, num_layers),
        time=np.stack((reader["slopes"].take(num_stats), reader["ratios"].take(num_stats)), axis=1),
    )
    fields = ("name", "family", "task", "recipe", "seed", "steps", "settings", "options", "dead_bias")
    case = Case(**{field: row[field] for field in fields})
    outcome = Outcome(_or_nan(row["first"]), _or_nan(row["final"]), _or_nan(row["peak"]))
    cures = {
        kind: {name: _or_nan(loss) for name, loss in tried.items()} for kind, tried in row["cures"].items()
    }
    return LabelledRun(case, outcome, trace, cures)


def _log10(values: NDArray[np.floating]) -> NDArray[np.float16]:
    with np.errstate(divide="ignore"):  # zero is -inf, and comes back as zero
        return np.log10(values.astype(np.float64)).astype(np.float16)


def _power10(values: NDArray[np.float16]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        powers: NDArray[np.float32] = np.power(10.0, values.astype(np.float64)).astype(np.float32)
    return powers


def _or_none(number: float) -> float | None:
    """JSON knows no NaN and no infinity."""
    return float(f"{number:.6g}") if math.isfinite(number) else None


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number
