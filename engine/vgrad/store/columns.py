"""Steps as bytes and back: the columns of a `StepBlock`, exact to the last bit and small.

    header    JSON of one line: number of steps, part, links, and name and form of each column
    data      the columns one after the other, byte by byte of equal weight together, compressed by zlib

A column whose values are all the same is kept once. A float64 column whose values float32 can hold is kept as
float32: a loss that was computed in float32 is one. Durations come last: they are half of the bytes, and a
reader that needs none unpacks only what stands before them. Nothing is ever unpickled, and what is read is
checked.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vgrad.errors import DataError
from vgrad.events.step_block import COLUMN_TYPES, StepBlock
from vgrad.events.step_record import ChainLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

_FORM_TYPES = {"f8": np.float64, "f4": np.float32, "i8": np.int64, "b1": np.bool_}
_MOST_STEPS = 2**24  # in one chunk; more is no chunk of ours
_MOST_BYTES = 2**31
DURATIONS = ("step_s", "watch_s")
_MAY_LACK = {"link_norms", "max_lr"}  # the second was not written at first
_IN_ORDER = (*(name for name in COLUMN_TYPES if name not in DURATIONS), *DURATIONS)


def pack_block(block: StepBlock, *, with_layers: bool = True) -> bytes:
    """Return ``block`` as bytes that `unpack_block` reads back, without the norms per layer if so asked."""
    forms: list[list[Any]] = []
    parts: list[bytes] = []
    for name in _IN_ORDER:
        column = getattr(block, name)
        if column is None:
            continue
        if name == "grad_norms" and not with_layers:
            column = column[:, :0]
        width = column.shape[1] if column.ndim == 2 else None
        array, form = _narrowed(column)
        is_same = len(array) > 1 and array.size > 0 and bool(_same_bits(array[1:], array[:1]).all())
        if is_same:
            array = array[:1]
        forms.append([name, form, width, is_same])
        parts.append(_by_weight(array))
    header = {
        "steps": len(block),
        "part": block.part,
        "links": [[link.control, link.label] for link in block.links],
        "columns": forms,
    }
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + zlib.compress(b"".join(parts), 1)


def unpack_block(data: bytes, *, with_durations: bool = True) -> StepBlock:
    """Return the block that `pack_block` made ``data`` of; without durations, all of `DURATIONS` are NaN.

    Raises:
        DataError: If ``data`` is none of ours, or damaged.
    """
    try:
        return _decode(data, skipped=() if with_durations else DURATIONS)
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, zlib.error, OverflowError, RecursionError) as error:
        raise DataError(f"a chunk of steps cannot be read: {error}") from None


def _decode(data: bytes, *, skipped: Sequence[str]) -> StepBlock:
    text, _, packed = data.partition(b"\n")
    header = json.loads(text)
    num_steps, part = header["steps"], header["part"]
    if not (type(num_steps) is int and 0 < num_steps <= _MOST_STEPS and type(part) is int and part >= 0):
        raise DataError("a chunk of steps has no sensible size")
    links = tuple(ChainLink(str(control), str(label)) for control, label in header["links"])
    places = list(_places(header["columns"], num_steps))
    if set(COLUMN_TYPES) - {place.name for place in places} - _MAY_LACK:
        raise DataError("a chunk of steps lacks columns")
    raw = _unpacked(packed, places, skipped)
    columns: dict[str, Any] = {"link_norms": None, "max_lr": np.full(num_steps, np.nan)}
    for name, form, shape, start, stop in places:
        if name in skipped:
            column, is_same = np.full(1, np.nan), True
        else:
            column = _from_weights(raw[start:stop], _FORM_TYPES[form], shape)
            column, is_same = column.astype(COLUMN_TYPES[name], copy=False), shape[0] != num_steps
        # Nobody writes to a block's columns, so one row may stand for all that are the same.
        columns[name] = np.broadcast_to(column, (num_steps, *shape[1:])) if is_same else column
        columns[name].setflags(write=False)
    if columns["link_norms"] is not None and columns["link_norms"].shape[1] != len(links):
        raise DataError("a chunk of steps has norms of other links")
    if num_steps > 1 and not bool((np.diff(columns["step"]) > 0).all()):
        raise DataError("a chunk of steps is out of order")
    return StepBlock(part=part, links=links, **columns)


class _Place(NamedTuple):
    """Where a column lies in the unpacked data of a chunk."""

    name: str
    form: str
    shape: tuple[int, ...]
    start: int
    stop: int


def _places(forms: Iterable[tuple[Any, Any, Any, Any]], num_steps: int) -> Iterator[_Place]:
    start = 0
    for name, form, width, is_same in forms:
        if name not in COLUMN_TYPES or (width is not None) != (name in {"grad_norms", "link_norms"}):
            raise DataError(f"a chunk of steps has an unknown column {name!r}"[:120])
        rows = 1 if is_same else num_steps
        shape = (rows,) if width is None else (rows, width)
        stop = start + math.prod(shape) * np.dtype(_FORM_TYPES[form]).itemsize
        yield _Place(name, form, shape, start, stop)
        start = stop


def _unpacked(packed: bytes, places: Sequence[_Place], skipped: Sequence[str]) -> bytes:
    """The data of all columns, as far as they are read."""
    needed = max(place.stop for place in places if place.name not in skipped)
    unpacker = zlib.decompressobj()
    is_whole = needed == places[-1].stop
    raw = unpacker.decompress(packed, _MOST_BYTES if is_whole else min(needed, _MOST_BYTES))
    if len(raw) != needed or (is_whole and not unpacker.eof):
        raise DataError("a chunk of steps is cut off")
    return raw


def _narrowed(column: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """The column in the narrowest type that holds its very bits, and that type's name."""
    if column.dtype == np.float64:
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = column.astype(np.float32)
        if bool(_same_bits(narrow.astype(np.float64), column).all()):
            return narrow, "f4"
        return column, "f8"
    form = next(form for form, kind in _FORM_TYPES.items() if column.dtype == kind)
    return column, form


def _same_bits(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays of one type have the same bits: NaN equals itself, and 0.0 is not -0.0."""
    if left.dtype.kind != "f":
        return np.asarray(left == right)
    bits = np.dtype(f"u{left.dtype.itemsize}")
    return np.asarray(np.ascontiguousarray(left).view(bits) == np.ascontiguousarray(right).view(bits))


def _by_weight(array: NDArray[Any]) -> bytes:
    """All first bytes, then all second bytes, and so on: neighbours are alike, and compress well."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()


def _from_weights(raw: bytes, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    size = np.dtype(kind).itemsize
    if len(raw) != math.prod(shape) * size:
        raise DataError("a chunk of steps is cut off")
    together = np.frombuffer(raw, np.uint8).reshape(size, -1).T
    little = np.ascontiguousarray(together).view(np.dtype(kind).newbyteorder("<"))
    return little.reshape(shape).astype(kind, copy=False)
