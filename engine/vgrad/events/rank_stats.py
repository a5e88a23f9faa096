"""What one rank of a training over several processes says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vgrad.errors import DataError
from vgrad.events.codec import plain, read_plain

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class RankStats:
    """The newest numbers of one rank.

    Attributes:
        rank: Its number in the process group.
        host: Name of its machine.
        pid: Its process there; 0 for a rank that is not watched.
        step: Newest step whose numbers it has.
        step_s: Seconds that a step takes, the median of the last ones.
        loss: Loss of that step on its own data; None where it is not known.
        grad_norm: Joint norm of the gradient that it stepped with, after the ranks have averaged theirs.
        measured_step: Step that the next two were measured at; 0 before the first.
        local_norm: Joint norm of its own gradient, before the ranks have averaged theirs; None where it
            cannot be had: the gradient is sharded, or the optimizer steps within the backward pass.
        wait_s: Seconds from its last own gradient to the end of the backward pass, in which it waits for
            slower ranks and the network; None likewise.
        num_non_finite: Steps whose loss on its own data, or whose own gradient where that was measured, was
            not finite.
        first_non_finite: The first of them; None where there is none.
        heard_s: When the first rank has last heard of it, Unix time in seconds.
        problem: What is wrong with it, in words; empty where nothing is.
    """

    rank: int
    host: str = ""
    pid: int = 0
    step: int = 0
    step_s: float = 0.0
    loss: float | None = None
    grad_norm: float | None = None
    measured_step: int = 0
    local_norm: float | None = None
    wait_s: float | None = None
    num_non_finite: int = 0
    first_non_finite: int | None = None
    heard_s: float = 0.0
    problem: str = ""


def write_ranks(ranks: Sequence[RankStats]) -> str:
    """The statistics of some ranks as text, for `read_ranks`."""
    return json.dumps([plain(each) for each in ranks], allow_nan=False)


def read_ranks(text: object) -> tuple[RankStats, ...]:
    """What `write_ranks` wrote, which may come from another process.

    Raises:
        DataError: If it is no such text.
    """
    try:
        data = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"the statistics of ranks are no JSON: {error}") from None
    found: tuple[RankStats, ...] = read_plain(data, tuple[RankStats, ...], "ranks")
    return found
