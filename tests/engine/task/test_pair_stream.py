"""A stream of a person's own pairs can be rewound exactly, or says that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    TensorDataset,
    WeightedRandomSampler,
)

from vgrad.errors import ConfigError
from vgrad.task.pair_stream import PairStream

NUM = 7
ROWS = torch.arange(float(NUM)).view(NUM, 1)
DATASET = TensorDataset(ROWS, -ROWS)
PAIRS = [(row, -row) for row in ROWS.split(1)]


class Jittered(TensorDataset):
    """Draws from the global generator, as augmentations do."""

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        row, target = super().__getitem__(index)
        return row + torch.rand(1), target


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


class Counting:
    """Keeps its own position, as torchdata's stateful loader does."""

    def __init__(self) -> None:
        self._position = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self._position < NUM:
            self._position += 1
            yield PAIRS[self._position - 1]
        self._position = 0

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._position = state["position"]


KINDS: dict[str, Callable[[], Any]] = {
    "list": lambda: PAIRS,
    "in order": lambda: DataLoader(DATASET, batch_size=2),
    "shuffled": lambda: DataLoader(DATASET, batch_size=2, shuffle=True),
    "own generator": lambda: DataLoader(DATASET, batch_size=3, shuffle=True, generator=seeded()),
    "sampler's generator": lambda: DataLoader(
        DATASET, batch_size=3, sampler=RandomSampler(DATASET, True, generator=seeded())
    ),
    "weighted": lambda: DataLoader(
        DATASET, batch_size=2, sampler=WeightedRandomSampler(torch.arange(1.0, NUM + 1), 5)
    ),
    "augmented": lambda: DataLoader(Jittered(ROWS, -ROWS), batch_size=2, shuffle=True, drop_last=True),
    "its own state": Counting,
}


def stream_of(data: Any) -> PairStream:
    return PairStream(data, device=torch.device("cpu"), unit="samples")


def draw(stream: PairStream, num: int) -> list[Any]:
    """Pairs, with a random number between them, as a dropout layer draws one."""
    drawn = []
    for _ in range(num):
        batch = stream.next()
        drawn.append((batch.inputs.tolist(), batch.targets.tolist(), batch.ends_epoch, float(torch.rand(()))))
    return drawn


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(before=st.integers(0, 9), after=st.integers(1, 9), peeks=st.booleans(), seed=st.integers(0, 9))
def test_a_restored_stream_draws_the_same_again(
    kind: str, before: int, after: int, peeks: bool, seed: int
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stream = stream_of(KINDS[kind]())
        assert stream.can_rewind
        draw(stream, before)
        if peeks:
            stream.peek()
        state, random_state = stream.state_dict(), torch.get_rng_state()
        wanted = draw(stream, after)
        torch.manual_seed(seed + 100)
        for again in (stream, stream_of(KINDS[kind]())):  # in place, and as in a new process
            elsewhere = torch.get_rng_state()
            again.load_state_dict(state)
            assert torch.equal(torch.get_rng_state(), elsewhere)
            torch.set_rng_state(random_state)
            assert draw(again, after) == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_looking_ahead_changes_nothing_that_comes(kind: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = draw(stream_of(KINDS[kind]()), 9)
        torch.manual_seed(0)
        stream, looked = stream_of(KINDS[kind]()), []
        for _ in range(9):
            ahead = stream.peek()
            assert stream.peek() is ahead
            looked += draw(stream, 1)
        assert looked == plain


def test_every_epoch_sees_every_sample_once_and_says_when_it_ends() -> None:
    stream = stream_of(KINDS["shuffled"]())
    for _ in range(3):
        batches = [stream.next() for _ in range(4)]
        assert sorted(value for batch in batches for value in batch.inputs.flatten().tolist()) == list(
            range(NUM)
        )
        assert [batch.ends_epoch for batch in batches] == [False, False, False, True]
        assert [batch.num_samples for batch in batches] == [2, 2, 2, 1]


class Numbers(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(PAIRS)


class Backwards(Sampler[int]):
    def __init__(self, data: Sized) -> None:
        self._data = data

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._data) - 1, -1, -1))


@pytest.mark.parametrize(
    "data",
    [
        iter(PAIRS),
        DataLoader(Numbers(), batch_size=2),
        DataLoader(DATASET, batch_size=2, sampler=Backwards(DATASET)),
        Numbers(),
    ],
    ids=["generator", "iterable dataset", "another sampler", "dataset"],
)
def test_what_cannot_be_rewound_says_so_and_trains_all_the_same(data: Any) -> None:
    stream = stream_of(data)
    assert not stream.can_rewind
    stream.next()
    state = stream.state_dict()
    with pytest.raises(ConfigError, match="cannot be rewound: give a list, or a DataLoader"):
        stream.load_state_dict(state)
    assert not stream.next().ends_epoch


def test_a_position_beyond_the_data_is_refused() -> None:
    long, short = stream_of(PAIRS), stream_of(PAIRS[:2])
    for _ in range(5):
        long.next()
    with pytest.raises(ConfigError, match="the state is at pair 5 of an epoch, and the training data has 2"):
        short.load_state_dict(long.state_dict())


def test_loading_workers_give_the_same_again() -> None:
    def loader() -> DataLoader[Any]:
        return DataLoader(Jittered(ROWS, -ROWS), batch_size=2, shuffle=True, num_workers=1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        stream = stream_of(loader())
        draw(stream, 5)
        state, random_state = stream.state_dict(), torch.get_rng_state()
        wanted = draw(stream, 4)
        again = stream_of(loader())
        again.load_state_dict(state)
        torch.set_rng_state(random_state)
        assert draw(again, 4) == wanted
