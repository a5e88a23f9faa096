"""A study's table as Markdown, for people, and as CSV and JSON, for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any

from vgrad.lab.study.outcome import RULE
from vgrad.lab.study.plan import Experiment, Plan
from vgrad.lab.study.table import Spread, TableRow

_SPREADS = ("train_loss", "val_loss", "metric", "first_grad_norm", "solved_at", "ratio")
_OUTCOMES = ("helped", "did nothing", "did harm", "could not tell")
_HEAD = (
    *("method", "sets", "seeds", "training loss", "validation loss", "metric", "first layer ‖g‖"),
    *("verdict", "solved", "updates to solve", "ratio to none", "outcome"),
)


def table_to_markdown(plan: Plan, rows: Sequence[TableRow], *, num_done: int, num_planned: int) -> str:
    """The whole report; it shows each experiment's picture, which lies beside it as ``NAME.svg``.

    Args:
        plan: What was to be run.
        rows: What came out, in the plan's order.
        num_done: Runs that are finished.
        num_planned: Runs of the plan.
    """
    parts = ["# Study: which method helped\n", f"{num_done:,} of {num_planned:,} runs are done.\n"]
    if plan.left_out:
        parts.append("This is the quick study. It leaves out:\n\n" + _bullets(plan.left_out))
    parts += [f"## The rule\n\n{RULE}\n", _LEGEND, "## In short\n\n" + _bullets(in_short(plan, rows))]
    solved = _solved_table(plan, rows)
    if solved:
        parts.append("## Solved runs\n\n" + solved)
    by_name = {name: list(group) for name, group in groupby(rows, lambda row: row.experiment)}
    for experiment in plan.experiments:
        name = experiment.protocol.name
        found = by_name.get(name)
        if found:
            picture = f"![{name}: every run as a dot, method by method]({name}.svg)"
            parts.append(f"## {name}\n\n{_about(experiment)}\n\n{picture}\n\n{_table(found)}")
    return "\n".join(parts)


def table_to_csv(rows: Iterable[TableRow]) -> str:
    """A line per row, under a line of names; a number that is not there is an empty field."""
    lines = [to_plain(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def table_to_json(rows: Iterable[TableRow]) -> str:
    """A list with an object per row. JSON knows no infinity: what is not finite is null."""
    plain = [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in to_plain(row).items()}
        for row in rows
    ]
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)


def to_plain(row: TableRow) -> dict[str, Any]:
    """A row as flat values: a spread is three of them; None for what is not there."""
    plain: dict[str, Any] = {}
    for name in (field.name for field in fields(row)):
        value = getattr(row, name)
        if name in _SPREADS:
            for end in ("median", "low", "high"):
                number = getattr(value, end)
                plain[name if end == "median" else f"{name}_{end}"] = None if math.isnan(number) else number
        else:
            plain[name] = value
    plain["verdicts"] = _verdicts(row)
    return plain


def cells(row: TableRow) -> tuple[str, ...]:
    """A row of the Markdown table."""
    solved = "" if row.num_solved is None else f"{row.num_solved} of {row.num_seeds}"
    return (
        row.method,
        f"`{row.settings}`" if row.settings else "",
        str(row.num_seeds),
        _spread(row.train_loss),
        _spread(row.val_loss),
        _spread(row.metric),
        _spread(row.first_grad_norm),
        _verdicts(row),
        solved,
        _spread(row.solved_at),
        _spread(row.ratio),
        f"**{row.outcome}**" if row.outcome else "",
    )


_LEGEND = """\
Numbers are medians over the seeds, with the smallest and the largest in brackets; ∞ stands for what was
not finite. The training loss is the mean of the last tenth of the updates (at most 50), the gradient norm
their median; validation is on data that was not trained on (article-net: on its one batch). The metric is
the recipe's own: error rate, squared error. Every method gets as many microbatches as its control, so that
one which takes several for an update makes fewer updates.

The rule says what happened, not why: where a method helped, see whether a plain change of the learning
rate did as much.
"""


def in_short(plan: Plan, rows: Sequence[TableRow]) -> Iterator[str]:
    """Yield a line per experiment: which methods helped, did nothing, did harm."""
    for experiment in plan.experiments:
        name = experiment.protocol.name
        there = [row for row in rows if row.experiment == name and row.outcome]
        if not there:
            continue
        found = []
        for outcome in _OUTCOMES:
            methods = [row.method for row in there if row.outcome == outcome]
            if methods:
                found.append(f"**{outcome}**: {', '.join(methods)}")
        yield f"{name}: " + "; ".join(found)


def _solved_table(plan: Plan, rows: Sequence[TableRow]) -> str:
    """Solved runs and updates to solve of the experiments whose runs end once they are solved."""
    names = [e.protocol.name for e in plan.experiments if e.protocol.stops]
    there = [row for row in rows if row.experiment in names]
    if not there:
        return ""
    methods = list(dict.fromkeys(row.method for row in there))
    lines = []
    for name in names:
        found = {row.method: row for row in there if row.experiment == name}
        if found:
            lines.append((name, *(_solved_cell(found.get(method)) for method in methods)))
    return _grid(("solved runs, updates to solve", *methods), lines)


def _solved_cell(row: TableRow | None) -> str:
    if row is None:
        return ""
    when = f", {_spread(row.solved_at)}" if row.num_solved else ""
    return f"{row.num_solved} of {row.num_seeds}{when}"


def _about(experiment: Experiment) -> str:
    protocol = experiment.protocol
    base = " ".join(f"{name}={value}" for name, value in protocol.base)
    recipe = f"{protocol.recipe} with `{base}`" if base else protocol.recipe
    parts = [experiment.shows, f"Recipe {recipe}, {protocol.microbatches:,} microbatches."]
    if protocol.solved is not None:
        ends = ", and then it ends" if protocol.stops else ""
        parts.append(
            f"Solved: {protocol.solved.words}, looked at every {protocol.look_every} updates once the "
            f"method is on{ends}."
        )
    return " ".join(parts)


def _table(rows: Iterable[TableRow]) -> str:
    """Columns that are empty throughout are left out."""
    lines = [cells(row) for row in rows]
    kept = [index for index in range(len(_HEAD)) if any(line[index] for line in lines)]
    return _grid([_HEAD[index] for index in kept], [[line[index] for index in kept] for line in lines])


def _grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _verdicts(row: TableRow) -> str:
    """``vanishing``, or ``exploding 3, healthy 2`` where seeds differ."""
    if len(row.verdicts) == 1:
        return row.verdicts[0][0]
    return ", ".join(f"{kind} {num}" for kind, num in row.verdicts)


def _spread(spread: Spread) -> str:
    if math.isnan(spread.median):
        return ""
    middle, low, high = map(_number, (spread.median, spread.low, spread.high))
    return middle if low == middle == high else f"{middle} ({low} to {high})"


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 1 else f"{value:.3g}"
