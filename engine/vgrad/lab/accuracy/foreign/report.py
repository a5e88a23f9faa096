"""How often verdicts on loops of all kinds were right, by kind of run. Free of torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vgrad.lab.accuracy.cases import Part
from vgrad.lab.accuracy.foreign.kinds import HELD_OUT_KINDS, PART_OF
from vgrad.lab.accuracy.labels import LABELS, Label
from vgrad.lab.accuracy.matrix import SICK, Share, is_right

_COLUMNS = ("healthy", "stalled", "vanishing", "exploding", "dead", "non-finite", "starting")
DATA = Path(__file__).parent.parent / "data" / "foreign.json"
LONG = 100  # steps: a healthy run that is called sick for longer was called sick on its way


@dataclass(frozen=True, slots=True)
class ForeignRun:
    """A loop that was run.

    Attributes:
        kind: Name of what it is an example of.
        seed: Of its weights and data.
        label: What it had: that of its kind where the outcome confirms it.
        verdict: Kind of the verdict at its end; of several parts, the worst.
        rule: The rule that found it.
        sick_steps: For how many steps it was called sick; of several parts, the worst counts.
    """

    kind: str
    seed: int
    label: Label
    verdict: str
    rule: str
    sick_steps: int


def foreign_shares(runs: Sequence[ForeignRun]) -> dict[str, Share]:
    """The shares that matter, by what they are of."""
    healthy = [run for run in runs if run.label == "healthy"]
    sick = [run for run in runs if run.label in SICK]
    return {
        "sick called sick": Share(sum(run.verdict in SICK for run in sick), len(sick)),
        "with the right word": Share(sum(run.verdict == run.label for run in sick), len(sick)),
        "healthy called sick": Share(sum(run.verdict in SICK for run in healthy), len(healthy)),
        "on the way": Share(sum(run.sick_steps > LONG for run in healthy), len(healthy)),
    }


def of_foreign_part(runs: Sequence[ForeignRun], part: Part) -> list[ForeignRun]:
    """The runs whose kind belongs to ``part``."""
    return [run for run in runs if PART_OF[run.kind] == part]


def foreign_as_dict(runs: Sequence[ForeignRun]) -> dict[str, Any]:
    """The counts of both parts, and every run by its kind, as JSON can hold it."""
    return {
        part.replace("-", "_"): {
            "runs": len(chosen),
            "unclear": sum(run.label == "unclear" for run in chosen),
            "shares": {
                what: {"count": share.count, "total": share.total, "interval": share.interval}
                for what, share in foreign_shares(chosen).items()
                if share.total
            },
            "by_kind": {kind: dict(counts) for kind, counts in _by_kind(chosen).items()},
        }
        for part in ("fit", "held-out")
        if (chosen := of_foreign_part(runs, part))
    }


def foreign_as_text(runs: Sequence[ForeignRun]) -> str:
    """The held-out part as a table with each kind, the fitting part in four lines."""
    held_out, fit = of_foreign_part(runs, "held-out"), of_foreign_part(runs, "fit")
    lines = [
        f"{len(runs)} runs of {len(PART_OF)} small loops that know nothing of vgrad, through vgrad.watch:",
        "no baseline is known.",
        "",
        f"{'what it had':<12}" + "".join(f"{kind:>11}" for kind in _COLUMNS) + "   <- verdict at its end",
    ]
    for label in LABELS:
        row = Counter(run.verdict for run in held_out if run.label == label)
        lines.append(f"{label:<12}" + "".join(f"{row[kind] or '·':>11}" for kind in _COLUMNS))
    for title, chosen in ((f"{len(held_out)} held out", held_out), (f"{len(fit)} fitted to", fit)):
        num_unclear = sum(run.label == "unclear" for run in chosen)
        lines += ["", f"{title}, of which {num_unclear} have no clear label:"]
        lines += [f"  {what:<22} {share.words()}" for what, share in foreign_shares(chosen).items()]
    lines += ["", "each held-out kind:"]
    by_kind = _by_kind(held_out)
    for kind in (each.name for each in HELD_OUT_KINDS):
        words = ", ".join(f"{what} {num}" for what, num in by_kind.get(kind, Counter()).most_common())
        lines.append(f"  {kind:<24} {words or 'not counted yet'}")
    return "\n".join(lines)


def _by_kind(runs: Sequence[ForeignRun]) -> dict[str, Counter[str]]:
    """How often runs of each kind were right, or what was said instead."""
    found: dict[str, Counter[str]] = {}
    for run in runs:
        if run.label == "unclear":
            what = "unclear"
        elif is_right(run.verdict, run.label):
            what = "right"
        else:
            what = f"{run.label} called {run.verdict}"
        found.setdefault(run.kind, Counter())[what] += 1
    return found


def write_foreign_runs(runs: Iterable[ForeignRun], path: Path = DATA) -> None:
    """Write what became of the runs, a line for each."""
    lines = ",\n".join(json.dumps(asdict(run)) for run in runs)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def read_foreign_runs(path: Path = DATA) -> Sequence[ForeignRun]:
    """Read what `write_foreign_runs` wrote."""
    return [ForeignRun(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
