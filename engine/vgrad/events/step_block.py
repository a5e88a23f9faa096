"""Steps as columns: the only carrier of steps from the loop that makes them to all readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from operator import attrgetter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vgrad.events.step_record import ChainLink, StepRecord

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]
Float32s = NDArray[np.float32]
Bools = NDArray[np.bool_]

MOST_JOINED = 2**18  # steps in one block: of a longer one the columns are new memory again and again
_SAME = ("part", "links")  # one value for the whole block; every other field is a column


@dataclass(frozen=True, slots=True, eq=False)
class StepBlock:
    """Consecutive steps of one part, all made with the same chain of links.

    ``n`` is the number of steps. The arrays that `of` makes cannot be written to, so that several
    readers may hold the same block. What each column means is said by `StepRecord`.

    Attributes:
        part: Which part of the run stepped.
        links: The chain's links, in the order in which they acted.
        step: Number of each step, int64 of shape ``(n,)``, increasing.
        loss: Training loss, float64 of shape ``(n,)``; 0 where it is not known.
        loss_known: Whether the loss is known, bool of shape ``(n,)``.
        lr: Learning rate of the first group of parameters, float64 of shape ``(n,)``.
        base_lr: Learning rate as the optimizer and its scheduler set it, of the same shape.
        grad_norm: Joint norm before any transform, of the same shape.
        applied_norm: Joint norm after all transforms, of the same shape.
        grad_norms: Norm per layer before any transform, float32 of shape ``(n, num_layers)``.
        num_tokens: Tokens in the window, int64 of shape ``(n,)``.
        num_samples: Samples in the window, of the same shape.
        num_microbatches: Microbatches in the window, of the same shape.
        elapsed_s: Seconds of training up to the end of each step, float64 of shape ``(n,)``.
        step_s: Seconds of each step, of the same shape.
        watch_s: Seconds of it spent on watching, of the same shape.
        link_norms: Joint norm after each link, float32 of shape ``(n, num_links)``; None where the
            norms between the links were not measured.
        microbatch_square: Mean squared norm of the microbatches' gradients, float64 of shape
            ``(n,)``; NaN for a single microbatch.
        skipped: Whether the step was dropped, bool of shape ``(n,)``.
        loss_scale: Scale of the loss in the backward pass, float64 of shape ``(n,)``.
        max_lr: Largest learning rate of any group, float64 of shape ``(n,)``; NaN where it is not known.
    """

    part: int
    links: tuple[ChainLink, ...]
    step: Int64s
    loss: Float64s
    loss_known: Bools
    lr: Float64s
    base_lr: Float64s
    grad_norm: Float64s
    applied_norm: Float64s
    grad_norms: Float32s
    num_tokens: Int64s
    num_samples: Int64s
    num_microbatches: Int64s
    elapsed_s: Float64s
    step_s: Float64s
    watch_s: Float64s
    link_norms: Float32s | None
    microbatch_square: Float64s
    skipped: Bools
    loss_scale: Float64s
    max_lr: Float64s

    @classmethod
    def of(cls, records: Sequence[StepRecord]) -> Self:
        """Return consecutive steps as one block.

        Args:
            records: At least one step, all of the same part, links and number of layers.

        Raises:
            ValueError: If there is no step, or they do not belong into one block; see `blocks_of`.
        """
        if len({_kind_of(record) for record in records}) != 1:
            raise ValueError("a block is made of one or more steps of one part and one chain of links")
        first = records[0]
        columns: dict[str, Any] = {
            **_columns(_FLOATS, _get_floats, records, np.float64),
            **_columns(_COUNTS, _get_counts, records, np.int64),
            "loss": np.array([0.0 if r.loss is None else r.loss for r in records], dtype=np.float64),
            "loss_known": np.array([r.loss is not None for r in records], dtype=np.bool_),
            "skipped": np.array([r.skipped for r in records], dtype=np.bool_),
            "grad_norms": np.array([r.grad_norms for r in records], dtype=np.float32),
            "link_norms": None
            if first.link_norms is None
            else np.array([r.link_norms for r in records], dtype=np.float32),
        }
        for column in columns.values():
            if column is not None:
                column.setflags(write=False)
        return cls(part=first.part, links=first.links, **columns)

    @classmethod
    def concatenate(cls, blocks: Sequence[StepBlock]) -> StepBlock:
        """Return several blocks as one.

        Raises:
            ValueError: If there is none, or they differ in part, links or number of layers.
        """
        if len({block.kind for block in blocks}) != 1:
            raise ValueError("only blocks of one part and one chain of links can be joined")
        if len(blocks) == 1:
            return blocks[0]
        columns: dict[str, Any] = {
            name: _concatenated([getattr(block, name) for block in blocks])
            for name in COLUMN_TYPES
            if getattr(blocks[0], name) is not None
        }
        for column in columns.values():
            column.setflags(write=False)
        return replace(blocks[0], **columns)

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, which: slice | Bools | Int64s) -> StepBlock:
        """Some of the steps, in their order."""
        return replace(
            self,
            **{name: column[which] for name in COLUMN_TYPES if (column := getattr(self, name)) is not None},
        )

    def copy(self) -> StepBlock:
        """The same steps in arrays of their own: a slice keeps the whole block in memory."""
        columns: dict[str, Any] = {
            name: column.copy() for name in COLUMN_TYPES if (column := getattr(self, name)) is not None
        }
        for column in columns.values():
            column.setflags(write=False)
        return replace(self, **columns)

    @property
    def kind(self) -> tuple[object, ...]:
        """Blocks that are equal in this can be joined."""
        num_layers = self.grad_norms.shape[1]
        return self.part, self.links, num_layers, self.link_norms is None

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for name in COLUMN_TYPES if (column := getattr(self, name)) is not None)

    def record(self, row: int) -> StepRecord:
        """The step in one row; negative rows count from the end."""
        return StepRecord(
            step=int(self.step[row]),
            loss=float(self.loss[row]) if self.loss_known[row] else None,
            lr=float(self.lr[row]),
            base_lr=float(self.base_lr[row]),
            grad_norm=float(self.grad_norm[row]),
            applied_norm=float(self.applied_norm[row]),
            grad_norms=self.grad_norms[row],
            num_tokens=int(self.num_tokens[row]),
            num_samples=int(self.num_samples[row]),
            num_microbatches=int(self.num_microbatches[row]),
            elapsed_s=float(self.elapsed_s[row]),
            step_s=float(self.step_s[row]),
            watch_s=float(self.watch_s[row]),
            links=self.links,
            link_norms=None if self.link_norms is None else self.link_norms[row],
            microbatch_square=float(self.microbatch_square[row]),
            skipped=bool(self.skipped[row]),
            loss_scale=float(self.loss_scale[row]),
            part=self.part,
            max_lr=float(self.max_lr[row]),
        )

    def records(self) -> Iterator[StepRecord]:
        """Every step, oldest first."""
        return (self.record(row) for row in range(len(self)))


def blocks_of(records: Iterable[StepRecord]) -> tuple[StepBlock, ...]:
    """Any steps as blocks, in their order: a new block where the part or the chain changes."""
    return tuple(StepBlock.of(list(group)) for _, group in groupby(records, key=_kind_of))


def joined(blocks: Iterable[StepBlock]) -> Iterator[StepBlock]:
    """Yield the same steps in few blocks, of `MOST_JOINED` steps or a little more; empty ones are left out.

    What reads blocks pays for each of them, and a loop makes many small ones.
    """
    filled = (block for block in blocks if len(block))
    for _, group in groupby(filled, key=attrgetter("kind")):
        waiting: list[StepBlock] = []
        num_steps = 0
        for block in group:
            waiting.append(block)
            num_steps += len(block)
            if num_steps >= MOST_JOINED:
                yield StepBlock.concatenate(waiting)
                waiting, num_steps = [], 0
        if waiting:
            yield StepBlock.concatenate(waiting)


def _kind_of(record: StepRecord) -> tuple[object, ...]:
    return record.part, record.links, len(record.grad_norms), record.link_norms is None


_NOT_FLOAT64 = {
    "step": np.int64,
    "loss_known": np.bool_,
    "grad_norms": np.float32,
    "num_tokens": np.int64,
    "num_samples": np.int64,
    "num_microbatches": np.int64,
    "link_norms": np.float32,
    "skipped": np.bool_,
}
COLUMN_TYPES: dict[str, type[np.generic]] = {
    field.name: _NOT_FLOAT64.get(field.name, np.float64)
    for field in fields(StepBlock)
    if field.name not in _SAME
}
"""The columns of a block by name, each with its type."""

_COUNTS = tuple(name for name, kind in COLUMN_TYPES.items() if kind is np.int64)
_FLOATS = tuple(name for name, kind in COLUMN_TYPES.items() if kind is np.float64 and name != "loss")
_get_counts, _get_floats = attrgetter(*_COUNTS), attrgetter(*_FLOATS)


def _columns(
    names: tuple[str, ...], get: attrgetter[Any], records: Sequence[StepRecord], dtype: type[np.generic]
) -> dict[str, NDArray[Any]]:
    """Several columns of one type by name: made in one go, which takes half the time."""
    return dict(zip(names, np.array([get(record) for record in records], dtype=dtype).T.copy(), strict=True))


def _concatenated(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate columns; where each is one row repeated, and the same row, so is the result."""
    first = columns[0]
    is_one_row = all(column.strides[0] == 0 and len(column) for column in columns)
    if is_one_row and len({column[:1].tobytes() for column in columns}) == 1:
        return np.broadcast_to(first[:1], (sum(map(len, columns)), *first.shape[1:]))
    return np.concatenate(columns)
