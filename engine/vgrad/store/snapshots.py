"""The newest statistics of a part as bytes and back: numpy arrays, read without unpickling."""

from __future__ import annotations

import io
import zipfile
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vgrad.errors import DataError
from vgrad.events.batch import Snapshot
from vgrad.events.layer_stats import LayerStats
from vgrad.events.time_stats import TimeStats

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MATRICES = {"histogram", "norms"}


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return the statistics of a snapshot as bytes; its verdict is in the notices."""
    arrays: dict[str, NDArray[Any]] = {}
    for prefix, value in (("stats", snapshot.stats), ("time", snapshot.time)):
        if value is not None:
            arrays |= {f"{prefix}.{f.name}": np.asarray(getattr(value, f.name)) for f in fields(value)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]  # numpy's own stubs
    return buffer.getvalue()


def unpack_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot that `pack_snapshot` made ``data`` of.

    Raises:
        DataError: If ``data`` is none of ours, or damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = dict(found)
        stats = {name.removeprefix("stats."): arrays[name] for name in arrays if name.startswith("stats.")}
        time = {name.removeprefix("time."): arrays[name] for name in arrays if name.startswith("time.")}
        return Snapshot(_stats(stats) if stats else None, None, _time(time) if time else None)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"statistics of the record cannot be read: {error}") from None


def _stats(arrays: dict[str, NDArray[Any]]) -> LayerStats:
    steps = arrays["measured_step"].astype(np.int64)
    values: dict[str, Any] = {
        field.name: arrays[field.name].astype(np.float32)
        for field in fields(LayerStats)
        if field.name != "measured_step"
    }
    for name, value in values.items():
        if value.ndim != (2 if name in _MATRICES else 1) or len(value) != len(steps):
            raise ValueError(f"{name} has another shape than it should")
    return LayerStats(measured_step=steps, **values)


def _time(arrays: dict[str, NDArray[Any]]) -> TimeStats:
    norms = arrays["norms"].astype(np.float32)
    if norms.ndim != 2:
        raise ValueError("norms has another shape than it should")
    return TimeStats(
        step=int(arrays["step"]),
        norms=norms,
        slope=float(arrays["slope"]),
        ratio=float(arrays["ratio"]),
        spectral_radius=float(arrays["spectral_radius"]),
        names=tuple(str(name) for name in arrays["names"].ravel()),
    )
