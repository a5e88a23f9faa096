"""The ranks of a training over several processes, as lines: a row for each, and what stands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vgrad_tui.draw.numbers import count, number, safe

if TYPE_CHECKING:
    from vgrad.events.rank_stats import RankStats

StyledLine = Sequence[tuple[str, str]]

_CLEARLY = 0.1  # of a step, by which waits must differ before one rank is called the slowest
_MARKS_WIDTH = 24
_ONE_PROCESS = (
    "this run has one process; of several, each has a row here from its first step on",
    "to watch several: vgrad-tui watch --nproc-per-node 2 train.py",
)
_HEAD = f"{'rank':<6}{'step':>9}{'a step':>9}{'waits':>9}{'own ‖g‖':>10}{'loss':>9}  not finite"


def rank_findings(ranks: Sequence[RankStats]) -> list[StyledLine]:
    """What is to be said of all ranks, a row for each sentence, in pieces of text with their roles."""
    if not ranks:
        return [[(words, "dim")] for words in _ONE_PROCESS]
    return [[finding] for finding in _findings(ranks, slowest_rank(ranks))]


def rank_table(ranks: Sequence[RankStats]) -> list[StyledLine]:
    """A row for each rank, below one with their names; none where there are no ranks."""
    if not ranks:
        return []
    slowest = slowest_rank(ranks)
    several_hosts = len({each.host for each in ranks if each.pid}) > 1
    rows: list[StyledLine] = [[("", "text")], [(_HEAD, "title")]]
    for each in ranks:
        marks = _marks(each, slowest)
        gap = " " * max(1, _MARKS_WIDTH - sum(len(text) for text, _ in marks))
        place = f"{gap}{safe(each.host)}" if several_hosts else ""
        role = "bad" if each.problem else "text"
        rows.append([(_numbers(each), role), *marks, (place, "dim")])
    return rows


def slowest_rank(ranks: Sequence[RankStats]) -> RankStats | None:
    """The rank that the others wait for; None where no wait was measured, or all take about as long."""
    newest = max((each.measured_step for each in ranks), default=0)
    same = [each for each in ranks if each.measured_step == newest]
    waits = [(each.wait_s, each) for each in same if each.wait_s is not None]
    if len(waits) < 2:
        return None
    least_s, slowest = min(waits, key=lambda pair: pair[0])
    return slowest if max(wait_s for wait_s, _ in waits) - least_s > _CLEARLY * slowest.step_s else None


def _findings(ranks: Sequence[RankStats], slowest: RankStats | None) -> list[tuple[str, str]]:
    found = [(f"rank {each.rank}: {safe(each.problem)}", "bad") for each in ranks if each.problem]
    bad = [each for each in ranks if each.first_non_finite is not None]
    if bad:
        step = min(each.first_non_finite or 0 for each in bad)
        first = [str(each.rank) for each in bad if each.first_non_finite == step]
        who = f"rank {first[0]}" if len(first) == 1 else f"ranks {', '.join(first[:8])}"
        found.append((f"first not finite (loss or own gradient): {who}, step {step:,}", "bad"))
    if slowest is not None:
        longest = max(each.wait_s or 0.0 for each in ranks if each.measured_step == slowest.measured_step)
        wait, step_s = number(1e3 * longest).strip(), number(1e3 * slowest.step_s).strip()
        words = f"slowest: rank {slowest.rank}; others wait up to {wait} ms of {step_s} ms for it"
        found.append((words, "warn"))
    if not any(each.local_norm is not None for each in ranks):
        found.append(("own ‖g‖ and waits: not measured yet, or gradients are sharded", "dim"))
    if not found:
        found.append(("all ranks are finite, and none is clearly slower than the others", "good"))
    return found


def _numbers(each: RankStats) -> str:
    if not each.pid:
        return f"{each.rank:<6}{'–':>9}{'–':>9}{'–':>9}{'–':>10}{'–':>9}  "
    step_s = _ms(each.step_s) if each.step_s else "–"  # no two steps yet
    wait = "–" if each.wait_s is None else _ms(each.wait_s)
    norm = "–" if each.local_norm is None else number(each.local_norm).strip()
    loss = "–" if each.loss is None else number(each.loss).strip()
    return f"{each.rank:<6}{count(each.step):>9}{step_s:>9}{wait:>9}{norm:>10}{loss:>9}  "


def _marks(each: RankStats, slowest: RankStats | None) -> list[tuple[str, str]]:
    marks = []
    if each.first_non_finite is not None:
        marks.append((f"{count(each.num_non_finite)} from {count(each.first_non_finite)}  ", "bad"))
    if slowest is not None and each.rank == slowest.rank:
        marks.append(("slowest", "warn"))
    return marks


def _ms(seconds: float) -> str:
    return f"{number(1e3 * seconds).strip()} ms"
