"""The newest statistics and verdict of a part as versioned plain data, and back, bit for bit.

An array is the base64 text of its numbers, the lowest byte first, so NaN, infinities and every other
value come back exactly. Reading refuses whatever another program may have written wrong, with
`DataError` and with nothing else. Notices are in `vgrad.events.codec`, steps in `vgrad.store.columns`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vgrad.errors import ConfigError, DataError
from vgrad.events.batch import Snapshot
from vgrad.events.codec import plain, read_plain
from vgrad.events.layer_stats import LayerStats
from vgrad.events.time_stats import TimeStats
from vgrad.events.verdict import Verdict
from vgrad.validation import brief

VERSION = 1

_STATS_TYPES = {
    field.name: np.int64 if field.name.endswith("_step") else np.float32 for field in fields(LayerStats)
}


def snapshot_to_data(snapshot: Snapshot) -> dict[str, object]:
    """The newest statistics and the verdict of a part as plain data."""
    stats, time = snapshot.stats, snapshot.time
    return {
        "version": VERSION,
        "stats": None
        if stats is None
        else {name: _array_to_text(getattr(stats, name)) for name in _STATS_TYPES},
        "verdict": plain(snapshot.verdict),
        "time": None
        if time is None
        else {
            "norms": _array_to_text(time.norms),
            "num_layers": len(time.norms),
            **{
                name: plain(getattr(time, name))
                for name in ("step", "slope", "ratio", "spectral_radius", "names")
            },
        },
    }


def snapshot_from_data(data: object) -> Snapshot:
    """The snapshot that `snapshot_to_data` wrote.

    Raises:
        DataError: If ``data`` is no such thing, or of another version.
    """
    values = _versioned(data, "a snapshot")
    stats, time = values.get("stats"), values.get("time")
    try:
        return Snapshot(
            stats=None if stats is None else _stats(_table(stats, "stats")),
            verdict=read_plain(values.get("verdict"), Verdict | None, "verdict"),
            time=None if time is None else _time(_table(time, "time")),
        )
    except (ConfigError, RecursionError, OverflowError) as error:
        raise DataError(f"a snapshot cannot be read: {error}") from None


def _stats(texts: Mapping[str, object]) -> LayerStats:
    arrays: dict[str, Any] = {
        name: _numbers(texts.get(name), kind, name) for name, kind in _STATS_TYPES.items()
    }
    num = len(arrays["measured_step"])
    for name, flat in arrays.items():
        arrays[name] = (_matrix if name == "histogram" else _column)(flat, num, name)
    return LayerStats(**arrays)


def _time(values: Mapping[str, object]) -> TimeStats:
    num_layers = read_plain(values.get("num_layers"), int, "num_layers")
    return TimeStats(
        step=read_plain(values.get("step"), int, "step"),
        norms=_matrix(_numbers(values.get("norms"), np.float32, "norms"), num_layers, "norms"),
        slope=read_plain(values.get("slope"), float, "slope"),
        ratio=read_plain(values.get("ratio"), float, "ratio"),
        spectral_radius=read_plain(values.get("spectral_radius"), float, "spectral_radius"),
        names=read_plain(values.get("names"), tuple[str, ...], "names"),
    )


def _array_to_text(array: NDArray[Any]) -> str:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def _numbers(text: object, kind: type[np.generic], name: str) -> NDArray[Any]:
    """The numbers of an array, in one row, which cannot be written to."""
    dtype = np.dtype(kind).newbyteorder("<")
    if not isinstance(text, str):
        raise DataError(f"{name} must be text in base64, got {brief(text)}")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise DataError(f"{name} is not in base64: {error}") from None
    if len(content) % dtype.itemsize:
        raise DataError(f"{name} is cut off in the middle of a number")
    numbers: NDArray[Any] = np.frombuffer(content, dtype=dtype).astype(kind, copy=False)
    numbers.setflags(write=False)
    return numbers


def _column(flat: NDArray[Any], num: int, name: str) -> NDArray[Any]:
    if flat.size != num:
        raise DataError(f"{name} must have {num} numbers, got {flat.size}")
    return flat


def _matrix(flat: NDArray[Any], num: int, name: str) -> NDArray[Any]:
    """``num`` rows of as many numbers each as there are."""
    width = flat.size // num if num > 0 else 0
    if num < 0 or flat.size != num * width:
        raise DataError(f"{name} has {flat.size} numbers, which make no {num} rows")
    return flat.reshape(num, width)


def _versioned(data: object, what: str) -> dict[str, Any]:
    values = _table(data, what)
    version = values.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise DataError(f"{what} must be of version {VERSION}, got {brief(version)}")
    return values


def _table(data: object, name: str) -> dict[str, Any]:
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise DataError(f"{name} must be a table of names and values, got {brief(data)}")
    return dict(data)
