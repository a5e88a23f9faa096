"""What the view of ranks says."""

from __future__ import annotations

from vgrad.events.rank_stats import RankStats
from vgrad_tui.state.rank_table import rank_findings, rank_table, slowest_rank


def rank(number: int, **known: object) -> RankStats:
    values: dict[str, object] = {"pid": 10 + number, "step": 40, "step_s": 0.02, "measured_step": 32} | known
    return RankStats(number, **values)  # type: ignore[arg-type]


def text(ranks: list[RankStats]) -> str:
    return "\n".join(
        "".join(piece for piece, _ in row) for row in [*rank_findings(ranks), *rank_table(ranks)]
    )


def test_the_rank_that_waits_least_is_the_slowest_if_that_is_clear() -> None:
    ranks = [rank(0, wait_s=0.012), rank(1, wait_s=0.001), rank(2, wait_s=0.011)]
    assert slowest_rank(ranks) is ranks[1]
    assert "slowest: rank 1; others wait up to 12.0 ms of 20.0 ms" in text(ranks)
    assert slowest_rank([rank(0, wait_s=0.002), rank(1, wait_s=0.001)]) is None
    assert slowest_rank([rank(0, wait_s=0.012), rank(1)]) is None, "its wait is not known"
    older = [rank(0, wait_s=0.012), rank(1, wait_s=0.001, measured_step=16)]
    assert slowest_rank(older) is None, "of another step"


def test_who_was_not_finite_first_and_what_is_wrong_is_said() -> None:
    ranks = [
        rank(0, first_non_finite=38, num_non_finite=3),
        rank(1, first_non_finite=37, num_non_finite=4),
        RankStats(2, problem="it is not watched"),
    ]
    shown = text(ranks)
    assert "first not finite (loss or own gradient): rank 1, step 37" in shown and "4 from 37" in shown
    assert "rank 2: it is not watched" in shown


def test_healthy_ranks_and_a_run_of_one_process() -> None:
    assert "all ranks are finite" in text(
        [rank(0, local_norm=1.0, wait_s=0.0), rank(1, local_norm=1.1, wait_s=0.0)]
    )
    assert "one process" in text([])
