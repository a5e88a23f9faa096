"""The confusion matrix and what follows from it, as text and as numbers. Free of torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

from vgrad.lab.accuracy.cases import HELD_OUT, Part
from vgrad.lab.accuracy.labels import LABELS
from vgrad.lab.accuracy.matrix import (
    Judged,
    Share,
    matrix,
    of_part,
    share_of_healthy_called_sick,
    share_right,
)

_COLUMNS = ("healthy", "stalled", "vanishing", "exploding", "dead", "non-finite", "starting")


def confidence_by_rule(judged: Sequence[Judged]) -> dict[str, Share]:
    """Of the labelled runs on which a rule had the last word, the share that had what it said."""
    spoke: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one in judged:
        if one.label != "unclear" and one.verdict.rule:
            spoke[one.verdict.rule] += 1
            right[one.verdict.rule] += one.is_right
    return {rule: Share(right[rule], spoke[rule]) for rule in sorted(spoke)}


def report_as_dict(judged: Sequence[Judged]) -> dict[str, Any]:
    """Both parts in full, as JSON can hold it."""
    return {
        "held_out_families": list(HELD_OUT),
        **{part.replace("-", "_"): _part(of_part(judged, part)) for part in get_args(Part)},
        "rules": {
            rule: _share(share) for rule, share in confidence_by_rule(of_part(judged, "held-out")).items()
        },
    }


def _part(judged: Sequence[Judged]) -> dict[str, Any]:
    return {
        "runs": len(judged),
        "unclear": [{"name": one.run.case.name, "why": one.why} for one in judged if one.label == "unclear"],
        "matrix": {label: {kind: row[kind] for kind in _COLUMNS} for label, row in matrix(judged).items()},
        "right": _share(share_right(judged)),
        "right_without_non_finite": _share(share_right([o for o in judged if o.label != "non-finite"])),
        "right_without_a_baseline": _share(share_right(judged, blind=True)),
        "healthy_called_sick": _share(share_of_healthy_called_sick(judged)),
        "healthy_ever_called_sick": _share(share_of_healthy_called_sick(judged, ever=True)),
        "wrong": [
            {"name": one.run.case.name, "label": one.label, "why": one.why, "verdict": one.verdict.kind}
            for one in judged
            if one.label != "unclear" and not one.is_right
        ],
    }


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {
        "count": share.count,
        "total": share.total,
        **({"share": share.value, "low": low, "high": high} if share.total else {}),
    }


def report_as_text(judged: Sequence[Judged]) -> str:
    """The held-out part as a table, the fitting part in a line."""
    held_out, fit = of_part(judged, "held-out"), of_part(judged, "fit")
    finite = [one for one in held_out if one.label != "non-finite"]
    lines = [
        f"{len(judged)} runs. Rules were fitted to {len(fit)} of them; these {len(held_out)} were held out",
        f"(families: {', '.join(HELD_OUT)}).",
        "",
        f"{'what it had':<12}" + "".join(f"{kind:>11}" for kind in _COLUMNS) + "   <- verdict at its end",
    ]
    for label in LABELS:
        row = matrix(held_out)[label]
        lines.append(f"{label:<12}" + "".join(f"{row[kind] or '·':>11}" for kind in _COLUMNS))
    lines += [
        "",
        f"right                      {share_right(held_out).words()}",
        f"  non-finite left out      {share_right(finite).words()}",
        f"  if no baseline is known  {share_right(held_out, blind=True).words()}",
        f"healthy called sick        {share_of_healthy_called_sick(held_out).words()}",
        f"  at any time of the run   {share_of_healthy_called_sick(held_out, ever=True).words()}",
        f"fitting part: right        {share_right(fit).words()}",
        f"  healthy called sick      {share_of_healthy_called_sick(fit).words()}",
        "",
        f"left out as unclear: {_num_unclear(held_out)} held out, {_num_unclear(fit)} of the fitting part",
    ]
    wrong = [one for one in held_out if one.label != "unclear" and not one.is_right]
    lines += [f"wrong: {o.run.case.name}: {o.label} ({o.why}), called {o.verdict.kind}" for o in wrong]
    lines += ["", "each rule on the held-out part:"]
    lines += [
        f"  {rule:<12} {share.words()}, confidence {share.expected:.2f}"
        for rule, share in confidence_by_rule(held_out).items()
    ]
    return "\n".join(lines)


def _num_unclear(judged: Sequence[Judged]) -> int:
    return sum(one.label == "unclear" for one in judged)
