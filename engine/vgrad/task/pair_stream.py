"""A person's own pairs as a stream that starts again when they end, and knows its position."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from vgrad.errors import ConfigError
from vgrad.task.microbatch import Microbatch, Unit, in_words, read_pair
from vgrad.task.random_state import capture_random, kept_random_state, restore_random_

_END = object()

# They draw the order of an epoch when it begins, from torch's global generator or from their own.
_SAMPLERS = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


class PairStream:
    """Pairs ``(inputs, targets)`` from an iterable, from the first again when all have been seen.

    What can be read only once, such as a generator, ends: `next` then raises `StopIteration`.

    It can be rewound, exactly, where the data is a sequence, a `DataLoader` over a map-style dataset with
    one of torch's own samplers and without persistent workers, or has ``state_dict`` and
    ``load_state_dict`` itself. Of a `DataLoader` the random states at the beginning of the epoch are kept,
    and the batches before the position are loaded once more. A dataset that draws from a generator of its
    own is not rewound with it.

    Args:
        data: The pairs.
        device: Where the microbatches go.
        unit: Whether tokens are counted.

    Attributes:
        can_rewind: Whether `load_state_dict` can go back to an earlier position.

    Raises:
        ConfigError: If ``data`` is not iterable, is empty, or is a dataset of single samples.
    """

    def __init__(self, data: Iterable[object], *, device: torch.device, unit: Unit) -> None:
        require_iterable(data, "data")
        self._data = data
        self._device = device
        self._unit = unit
        self._length = _num_pairs(data)
        self._keeps_position = hasattr(data, "state_dict") and hasattr(data, "load_state_dict")
        self.can_rewind = self._keeps_position or _is_repeatable(data)
        self._generators = _generators_of(data)
        self._iterator: Iterator[object] | None = None
        self._epoch = 0  # counted from 1, once it has begun
        self._num_drawn = 0  # pairs of this epoch
        self._ahead: Microbatch | None = None
        self._began: dict[str, Any] = {}  # random states as this epoch began
        # Before the pair that is ahead was drawn: the data's own state, and the random states.
        self._data_state: Any = None
        self._ahead_random: dict[str, Any] | None = None

    def next(self) -> Microbatch:
        """Return the next pair as a microbatch.

        Raises:
            StopIteration: If the data has ended and does not start again.
            ConfigError: If the data is empty, or yields something else than a pair.
        """
        batch, self._ahead = self._ahead, None
        return self._draw() if batch is None else batch

    def peek(self) -> Microbatch:
        """Return what `next` will return, without taking it.

        Raises:
            StopIteration: As `next`.
            ConfigError: As `next`.
        """
        if self._ahead is None:
            if self._keeps_position:
                self._data_state = self._state_of_data()
            self._ahead_random = capture_random(self._device)
            self._ahead = self._draw()
        return self._ahead

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch, the place in it, and what is needed to draw its order again."""
        num_taken = self._num_drawn - (self._ahead is not None)
        state: dict[str, Any] = {"epoch": self._epoch, "position": num_taken}
        if self._keeps_position:
            state["data"] = self._state_of_data() if self._ahead is None else self._data_state
        elif isinstance(self._data, DataLoader):
            is_over = self._ahead is None and num_taken == self._length
            if self._iterator is None or is_over:  # the next epoch begins with the states of then
                began = {"global": None, "generators": [gen.get_state() for gen in self._generators]}
            else:
                began = self._began
            state |= {"ahead": None if self._ahead is None else self._ahead_random, **began}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to the position that `state_dict` returned; the global random states stay as they are.

        Raises:
            ConfigError: If this data cannot be rewound, or has fewer pairs than the state speaks of.
        """
        if not self.can_rewind:
            raise ConfigError(
                f"the training data ({in_words(self._data)}) cannot be rewound: give a list, or a DataLoader "
                "over a map-style dataset"
            )
        position = state["position"]
        if self._length is not None and position > self._length:
            raise ConfigError(
                f"the state is at pair {position:,} of an epoch, and the training data has {self._length:,}"
            )
        self._epoch, self._num_drawn, self._ahead = state["epoch"], position, None
        if self._keeps_position:
            self._data.load_state_dict(copy.deepcopy(state["data"]))  # type: ignore[attr-defined]  # it was asked
            self._iterator = None
        elif isinstance(self._data, DataLoader):
            self._reload(state)
        else:
            self._iterator = self._iterate(position)

    def _reload(self, state: dict[str, Any]) -> None:
        """Begin the epoch of ``state`` as it began then, and load its batches up to the position."""
        for generator, saved in zip(self._generators, state["generators"], strict=True):
            generator.set_state(saved)
        self._iterator = None
        if state["global"] is None:
            return
        self._began = {"global": state["global"], "generators": state["generators"]}
        with kept_random_state(self._device):
            torch.set_rng_state(state["global"])
            self._iterator = self._iterate(0)
            for _ in range(state["position"]):
                next(self._iterator)
            if state["ahead"] is not None:
                self._ahead_random = state["ahead"]
                if state["position"]:  # else the epoch had not begun, and it has just been begun here
                    restore_random_(state["ahead"], self._device)
                self._ahead = self._draw()

    def _draw(self) -> Microbatch:
        item = _END if self._iterator is None else next(self._iterator, _END)
        if item is _END:
            item = self._first_of_epoch()
        self._num_drawn += 1
        return read_pair(
            item, device=self._device, unit=self._unit, ends_epoch=self._num_drawn == self._length
        )

    def _first_of_epoch(self) -> object:
        is_resumed = self._keeps_position and self._iterator is None and self._epoch > 0
        if not is_resumed:
            self._epoch += 1
            self._num_drawn = 0
        self._began = {
            "global": torch.get_rng_state(),
            "generators": [generator.get_state() for generator in self._generators],
        }
        self._iterator = self._iterate(0)
        item = next(self._iterator, _END)
        if item is not _END:
            return item
        if is_resumed:  # the state was of the end of its epoch
            return self._first_of_epoch()
        if self._epoch == 1:
            raise ConfigError("the data is empty: it must yield at least one pair (inputs, targets)")
        raise StopIteration

    def _iterate(self, position: int) -> Iterator[object]:
        if isinstance(self._data, Sequence):
            return map(self._data.__getitem__, range(position, len(self._data)))
        return iter(self._data)

    def _state_of_data(self) -> Any:
        return copy.deepcopy(self._data.state_dict())  # type: ignore[attr-defined]  # it was asked


def require_iterable(data: object, what: str) -> None:
    """Check that ``data`` can be a supply of pairs.

    Raises:
        ConfigError: If it cannot; says what it is, and what would do.
    """
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        raise ConfigError(
            f"{what} is a dataset of single samples: give torch.utils.data.DataLoader(dataset, batch_size=…)"
        )
    is_container = isinstance(data, str | bytes | dict | torch.Tensor)
    if is_container or not hasattr(data, "__iter__"):
        raise ConfigError(f"{what} must yield pairs (inputs, targets), and it is {in_words(data)}")
    if _num_pairs(data) == 0:
        raise ConfigError(f"{what} is empty: it must yield at least one pair (inputs, targets)")


def _num_pairs(data: object) -> int | None:
    """Pairs of an epoch, where they are known beforehand and exactly."""
    if isinstance(data, Sequence):
        return len(data)
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset):
        try:
            return len(data)
        except TypeError:  # its sampler or its dataset has no length
            return None
    return None


def _is_repeatable(data: object) -> bool:
    """Whether an epoch of the same random states is the same again."""
    if not isinstance(data, DataLoader):
        return isinstance(data, Sequence)
    batches = data.batch_sampler
    sampler = batches.sampler if isinstance(batches, BatchSampler) else data.sampler
    return (
        not isinstance(data.dataset, IterableDataset)
        and type(batches) in {BatchSampler, type(None)}
        and type(sampler) in _SAMPLERS
        and not data.persistent_workers
    )


def _generators_of(data: object) -> list[torch.Generator]:
    """The generators of a loader and of its sampler, each once."""
    owners = [data, getattr(data, "sampler", None)]
    owners.append(getattr(getattr(data, "batch_sampler", None), "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(gen): gen for gen in found if isinstance(gen, torch.Generator)}.values())
