"""A captured state as JSON beside a dict of tensors, and back; nothing is ever unpickled.

What JSON has no form for stands in a dict with a single key that begins with ``$``: tensors by their name,
arrays and scalars of numpy likewise, tuples, numbers that are not finite, dicts with other keys than words,
and frozen values of ours (controls, commands, verdicts), which check themselves when they are made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vgrad.controls.catalog import CONTROLS
from vgrad.controls.choices import OneOf
from vgrad.controls.controls import COMMANDS, Controls
from vgrad.errors import DataError
from vgrad.events.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# The only classes that are ever made from a file.
_VALUES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Controls,
        Verdict,
        *COMMANDS.values(),
        *(
            variant.type
            for control in CONTROLS.values()
            if isinstance(control, OneOf)
            for variant in control.variants.values()
            if variant.type is not None
        ),
    )
}


def to_plain_data(value: Any, tensors: MutableMapping[str, Tensor], path: str = "") -> Any:  # noqa: PLR0911  # a table
    """Return ``value`` as what JSON can hold, and put the tensors in it into ``tensors``.

    Args:
        value: Plain values, tensors, numbers of numpy and frozen values of ours, in dicts, lists and tuples.
        tensors: Is given each tensor, contiguous and on the CPU, by its place in ``value``.
        path: Place of ``value``.

    Raises:
        DataError: If it holds anything else.
    """

    def each(part: Any, key: object) -> Any:
        return to_plain_data(part, tensors, f"{path}/{key}" if path else str(key))

    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return float(value) if math.isfinite(value) else {"$float": str(float(value))}
        case Tensor() | np.ndarray() | np.generic() if _is_numeric(value):
            kind, tensors[path] = _as_tensor(value)
            return {kind: path}
        case list():
            return [each(part, index) for index, part in enumerate(value)]
        case tuple():
            return {"$tuple": [each(part, index) for index, part in enumerate(value)]}
        case Mapping():
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: each(part, key) for key, part in value.items()}
            return {"$items": [[each(key, "key"), each(part, key)] for key, part in value.items()]}
    name = type(value).__name__
    if _VALUES.get(name) is not type(value):
        raise DataError(f"a state with a value of type {name} at {path} cannot be saved")
    given = {field.name: each(getattr(value, field.name), field.name) for field in fields(value)}
    return {"$value": name, "$fields": given}


def from_plain_data(value: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: PLR0911  # its inverse
    """Return what `to_plain_data` was given.

    Raises:
        ValueError: If ``value`` does not come from there.
        KeyError: If a tensor is missing.
        TypeError: If a value of ours lacks a field.
    """
    match value:
        case list():
            return [from_plain_data(part, tensors) for part in value]
        case {"$float": str() as text}:
            return float(text)
        case {"$tensor": str() as path} | {"$array": str() as path} | {"$scalar": str() as path}:
            return _from_tensor(next(iter(value)), tensors[path])
        case {"$tuple": list() as parts}:
            return tuple(from_plain_data(part, tensors) for part in parts)
        case {"$items": list() as items}:
            return {from_plain_data(key, tensors): from_plain_data(part, tensors) for key, part in items}
        case {"$value": str() as name, "$fields": dict() as given}:
            if name not in _VALUES:
                raise ValueError(f"no value is called {name[:40]!r}")
            return _VALUES[name](**{key: from_plain_data(part, tensors) for key, part in given.items()})
        case dict():
            return {key: from_plain_data(part, tensors) for key, part in value.items()}
    return value


def _is_numeric(value: Tensor | np.ndarray[Any, Any] | np.generic) -> bool:
    """Whether torch has its numbers, too."""
    return isinstance(value, Tensor) or value.dtype.kind in "biufc"


def _as_tensor(value: Tensor | np.ndarray[Any, Any] | np.generic) -> tuple[str, Tensor]:
    """What ``value`` is, and its numbers: contiguous, on the CPU."""
    if isinstance(value, Tensor):
        return "$tensor", value.detach().cpu().contiguous()
    return "$array" if isinstance(value, np.ndarray) else "$scalar", torch.from_numpy(np.array(value))


def _from_tensor(kind: str, tensor: Tensor) -> Any:
    return tensor if kind == "$tensor" else tensor.numpy() if kind == "$array" else tensor.numpy()[()]
