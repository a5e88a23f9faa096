"""Decisions in a store: the same for all, none lost, at whatever pace each rank goes."""

from __future__ import annotations

from itertools import count

import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from vgrad.ranks.slots import Slots

NUM_RANKS, NUM_SLOTS = 3, 12


@given(
    # What happens next: a rank goes on by a slot, or proposes something for one after its own.
    st.lists(st.tuples(st.integers(0, NUM_RANKS - 1), st.booleans()), max_size=80)
)
def test_every_rank_finds_the_same_and_every_proposal_once(moves: list[tuple[int, bool]]) -> None:
    slots = Slots(dist.HashStore())  # type: ignore[attr-defined]
    found: list[list[str]] = [[] for _ in range(NUM_RANKS)]
    proposed: dict[str, int] = {}
    names = count()
    for rank, is_proposal in moves:
        if is_proposal:
            name = f"command {next(names)}"
            proposed[name] = slots.propose(len(found[rank]), name)
            assert all(proposed[name] >= len(passed) for passed in found), "no rank has passed it"
        else:
            found[rank].append(slots.decide(len(found[rank])))
    for passed in found:
        while len(passed) < NUM_SLOTS + len(moves):
            passed.append(slots.decide(len(passed)))
    assert found[0] == found[1] == found[2]
    assert {text: slot for slot, text in enumerate(found[0]) if text} == proposed


def test_a_slot_that_is_forgotten_takes_no_memory() -> None:
    store = dist.HashStore()  # type: ignore[attr-defined]
    slots = Slots(store)
    for number in range(5):
        slots.decide(number)
    for number in range(4):
        slots.forget(number)
    assert store.num_keys() == 1
